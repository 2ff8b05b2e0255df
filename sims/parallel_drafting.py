"""Drafting a block in parallel: what is lost by not knowing the tokens before, and the bound on it.

``python -m sims.parallel_drafting`` takes blocks of L tokens of a Markov chain after a start state,
drafted from their own marginals, the best that independent positions can know. Exactly: the total
correlation TC of the block, its acceptance as a whole ``1 - TV``, and the tokens that rejection,
one token after another, and block verification keep. Beside ``1 - TV`` stand two lower bounds,
Pinsker's ``1 - sqrt(TC / 2)`` and that of Bretagnolle and Huber, ``1 - sqrt(1 - exp(-TC))``, which
says something at any TC. A draft that reads its own tokens, with the target's laws, would keep L.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sims.runner import Place, main
from sims.sweep_laws import stationary
from spectheory.distributions import overlap

if TYPE_CHECKING:
    import polars


@dataclass(frozen=True)
class Config:
    """The chains and the blocks.

    Attributes:
        sizes: numbers of states.
        couplings: from 0, independent tokens, to 1, each token decided by the one before.
        lengths: tokens of a block L.
        models: chains of each size.
        concentration: of the Dirichlet law from which the law of independent tokens is drawn.
        seed: of the chains.
    """

    sizes: tuple[int, ...] = (2, 4)
    couplings: tuple[float, ...] = (0.0, 0.2, 0.4, 0.6, 0.8, 0.95, 1.0)
    lengths: tuple[int, ...] = (2, 4, 6)
    models: int = 5
    concentration: float = 2.0
    seed: int = 0


FULL = Config(
    sizes=(2, 4, 8),
    couplings=tuple(round(0.05 * i, 2) for i in range(21)),
    lengths=(2, 3, 4, 5, 6, 7),
    models=40,
)


class Gap(NamedTuple):
    """What drafting from marginals does to a block.

    Attributes:
        total_correlation: in nats.
        whole: ``1 - TV`` of joint law and product of marginals.
        pinsker, bretagnolle_huber: lower bounds on it.
        rejection: mean tokens kept of L, one by one; the token that follows is not counted.
        block: mean tokens kept by block verification, the most of any single-path rule.
    """

    total_correlation: float
    whole: float
    pinsker: float
    bretagnolle_huber: float
    rejection: float
    block: float


def chain(config: Config, size: int, model: int, coupling: float) -> np.ndarray:
    """``(V, V)``: ``(1 - c) 1 w + c S`` with w drawn and S the step to the next state in a cycle.

    The laws w are the same for every coupling c.
    """
    rng = np.random.default_rng([config.seed, size, model])
    independent = rng.dirichlet(np.full(size, config.concentration))
    return (1 - coupling) * independent + coupling * np.roll(np.eye(size), 1, axis=1)


def marginals(transition: np.ndarray, start: np.ndarray, length: int) -> np.ndarray:
    """``(L, V)`` laws of tokens 1 to L, the token before the block having law ``start``."""
    found = [start @ transition]
    for _ in range(length - 1):
        found.append(found[-1] @ transition)
    return np.stack(found)


def total_correlation(transition: np.ndarray, laws: np.ndarray) -> float:
    """``sum_i H(m_i) - H(m_1) - sum_{i > 1} H(x_i | x_{i - 1})`` in nats.

    Args:
        transition: ``(V, V)``.
        laws: ``(L, V)`` marginals; the block begins with a draw from the first.

    >>> copies = total_correlation(np.eye(2), np.full((3, 2), 0.5))
    >>> round(copies / float(np.log(2)), 12)
    2.0
    """
    from scipy.special import entr

    rows = entr(transition).sum(axis=1)
    return float(entr(laws[1:]).sum() - (laws[:-1] @ rows).sum())


def gap(transition: np.ndarray, start: np.ndarray, length: int) -> Gap:
    """Everything about a block that begins with a draw from ``start @ transition``.

    The block is gone through path by path, level by level: ``V^L`` numbers.
    """
    laws = marginals(transition, start, length)
    correlation = max(0.0, total_correlation(transition, laws))
    size = len(transition)
    joint = product = alive = laws[0]  # by path, the last token's axis at the end
    one_by_one, as_block = laws[0], laws[0]
    kept = [1.0, 1.0]
    for marginal in laws[1:]:
        along = np.tile(transition, (len(joint) // size, 1))  # the law after each path
        joint = (joint[:, None] * along).ravel()
        product = np.outer(product, marginal).ravel()
        alive = (one_by_one[:, None] * np.minimum(along, marginal)).ravel()
        as_block = np.minimum(product, (as_block[:, None] * along).ravel())
        one_by_one = alive
        kept[0] += float(alive.sum())
        kept[1] += float(as_block.sum())
    return Gap(
        total_correlation=correlation,
        whole=float(overlap(joint, product)),
        pinsker=1 - np.sqrt(correlation / 2),
        bretagnolle_huber=1 - np.sqrt(-np.expm1(-correlation)),
        rejection=kept[0],
        block=kept[1],
    )


def measure(config: Config, size: int, model: int, coupling: float, length: int) -> dict[str, Any]:
    """The gap of a block that begins anywhere in a long text."""
    transition = chain(config, size, model, coupling)
    return gap(transition, stationary(transition), length)._asdict()


def run(config: Config, place: Place | None = None) -> polars.DataFrame:
    """One row a chain and length: size, model, coupling, length, and the columns of `Gap`."""
    import polars

    keys = list(
        itertools.product(config.sizes, range(config.models), config.couplings, config.lengths)
    )
    rows = (place or Place()).fill(
        "parallel_drafting", config, keys, lambda *key: measure(config, *key)
    )
    names = ("size", "model", "coupling", "length")
    return polars.DataFrame(
        [dict(zip(names, key, strict=True)) | row for key, row in zip(keys, rows, strict=True)]
    )


def render(config: Config, table: polars.DataFrame) -> str:
    """Means over chains."""
    import polars

    lines = [
        "# What a block loses by being drafted from its marginals",
        "",
        f"{config.models} Markov chains of each size, from independent tokens (coupling 0) to each "
        "token decided by the one before (1); means over chains; exact. TC is in nats; the bounds "
        "are on `1 - TV`, a negative one says nothing. Tokens kept are of L, the token that "
        "follows not counted. Made by `python -m sims.parallel_drafting`.",
        "",
        "| V | L | coupling | TC | 1 - TV | Pinsker | Bretagnolle-Huber | kept one by one | "
        "kept by blocks |",
        "|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    means = (
        table.group_by("size", "length", "coupling")
        .agg(polars.col(*Gap._fields).mean())
        .sort("size", "length", "coupling")
    )
    lines += [
        f"| {row['size']} | {row['length']} | {row['coupling']:g} | "
        + " | ".join(f"{row[name]:.4f}" for name in Gap._fields)
        + " |"
        for row in means.iter_rows(named=True)
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main("parallel_drafting", __doc__ or "", Config(), FULL, run, render)
