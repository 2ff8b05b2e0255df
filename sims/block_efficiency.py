"""Tokens a step over long texts: exact, against what i.i.d. acceptances would give.

``python -m sims.block_efficiency`` goes through Markov chains, where acceptance depends on the
state, so that it differs by position in the block and by where the last step ended. For a
token-level rule with k drafts a level, one matrix says it all: ``M[s, x] = P(output is x and x is
a draft | state s)``. From s, at least i tokens are kept with probability ``M^i 1``, and as the rule
is lossless, what ends a step is ``P - M``. Long texts weigh the steps' beginnings by the stationary
law of the chain of last tokens, not by the target's. Block verification is gone through path by
path.

Beside the exact value stand the formula for i.i.d. acceptances, ``(1 - a^{L + 1}) / (1 - a)``, at
two means, and the value for steps that begin at a random place. Rejection and block verification
are drawn as well, on the same tape, as a check.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sims.runner import Place, main
from sims.sweep_laws import markov_logits, stationary
from spectheory.cost.speedup import expected_tokens
from spectheory.distributions import from_logits
from spectheory.drafting.scheme import scheme as draft_scheme
from spectheory.verification.rule import rule

if TYPE_CHECKING:
    import polars

BLOCK = "block"

VERIFIERS = (
    (BLOCK, "iid", 1),
    ("rejection", "iid", 1),
    *((key, "iid", k) for k in (2, 4) for key in ("recursive", "k_seq", "optimal_iid")),
    *(("recursive_without_replacement", "without_replacement", k) for k in (2, 4)),
)
"""Rule, draft scheme and k drafts a level."""


@dataclass(frozen=True)
class Config:
    """What is gone through.

    Attributes:
        size: states of the chains.
        models: chains.
        qualities: standard deviations of the draft's noise in logits.
        temperatures: of target and draft.
        lengths: levels of drafts L.
        deepest: the longest block that is gone through path by path.
        steps: drawn steps of rejection and block verification.
        seed: of the chains and the tape.
    """

    size: int = 6
    models: int = 3
    qualities: tuple[float, ...] = (0.3, 0.7, 1.5)
    temperatures: tuple[float, ...] = (0.6, 1.0)
    lengths: tuple[int, ...] = (1, 2, 4, 6, 8)
    deepest: int = 6
    steps: int = 200_000
    seed: int = 0


FULL = Config(
    size=8,
    models=20,
    qualities=(0.2, 0.4, 0.7, 1.0, 1.5, 2.0),
    temperatures=(0.4, 0.6, 0.8, 1.0, 1.2),
    lengths=(1, 2, 3, 4, 5, 6, 7, 8),
    deepest=7,
    steps=4_000_000,
)


class Efficiency(NamedTuple):
    """Tokens a step, from 1 to L + 1.

    Attributes:
        exact: over long texts.
        anywhere: for steps that begin at a random place of a text.
        iid: formula at the mean acceptance over a text.
        pooled: formula at accepted over tested drafts of the steps.
        by_position: ``(L,)`` acceptance at each position of the steps, all before being accepted;
            their product form is the exact value.
    """

    exact: float
    anywhere: float
    iid: float
    pooled: float
    by_position: list[float]


@lru_cache(maxsize=2)
def chain(config: Config, model: int, quality: float, heat: float) -> tuple[np.ndarray, np.ndarray]:
    """``(V, V)`` transition laws of target and draft; noise is shared along the axes."""
    logits, noise = markov_logits(config.size, 1, config.seed + model)
    return from_logits(logits, heat), from_logits(logits + quality * noise[:, 0], heat)


def accepted(key: str, scheme: str, k: int, target: np.ndarray, draft: np.ndarray) -> np.ndarray:
    """``(V, V)``: M, by going through every draft tuple."""
    found = np.zeros_like(target)
    for state, (p, q) in enumerate(zip(target, draft, strict=True)):
        drafts, probability = draft_scheme(scheme).law(q, k)
        verdict = rule(key).verdict(p[None], q[None], drafts)
        drafted = np.zeros((len(drafts), len(p)), bool)
        np.put_along_axis(drafted, drafts, True, axis=1)
        found[state] = probability @ (verdict.law() * drafted)
    return found


def levels(matrix: np.ndarray, target: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Reach ``(V, L)`` and law of the last token ``(V, V)`` of a step from each state."""
    power, after, reach = np.eye(len(target)), np.zeros_like(target), []
    for _ in range(length):
        after += power @ (target - matrix)
        power = power @ matrix
        reach.append(power.sum(axis=1))
    return np.stack(reach, axis=1), after + power @ target


def paths(target: np.ndarray, draft: np.ndarray, length: int, block: bool = True) -> Any:
    """As `levels`, path by path."""
    from spectheory.kernels.markov_blocks import step_through_paths

    steps = [
        step_through_paths(target, draft, state, length, block) for state in range(len(target))
    ]
    reach, after = zip(*steps, strict=True)
    return np.stack(reach), np.stack(after)


def efficiency(
    reach: np.ndarray, after: np.ndarray, target: np.ndarray, acceptance: np.ndarray
) -> Efficiency:
    """The exact value and its approximations, from what steps do.

    Args:
        reach: ``(V, L)`` probability of keeping at least 1, .., L tokens from each state.
        after: ``(V, V)`` law of the last token of a step from each state.
        target: ``(V, V)``.
        acceptance: ``(V,)`` of a single draft level in each state.
    """
    text = stationary(target)
    length = reach.shape[1]
    kept = stationary(after) @ reach
    tested = np.append(1.0, kept[:-1])
    mean, pooled = float(text @ acceptance), float(kept.sum() / tested.sum())
    return Efficiency(
        exact=1 + float(kept.sum()),
        anywhere=1 + float((text @ reach).sum()),
        iid=expected_tokens([min(mean, 1.0)] * length),
        pooled=expected_tokens([min(pooled, 1.0)] * length),
        by_position=np.minimum(kept / tested, 1.0).tolist(),
    )


def drawn(
    target: np.ndarray, draft: np.ndarray, length: int, steps: int, seed: int, block: bool
) -> tuple[float, float]:
    """Mean tokens of drawn steps and its standard error, from means of 100 stretches.

    The tape depends on length and seed only, so that verifications are compared on one tape.
    """
    from spectheory.kernels.markov_blocks import tokens_of_steps

    rng, state, means = np.random.default_rng([seed, length]), 0, []
    for _ in range(100):
        tape = rng.random((steps // 100, 2 * length + 1))
        tokens, last = tokens_of_steps(target, draft, tape, state, block)
        state = int(last[-1])
        means.append(tokens.mean())
    return float(np.mean(means)), float(np.std(means, ddof=1) / 10)


def measure(config: Config, model: int, quality: float, heat: float, verifier: int) -> Any:
    """The rows of one verifier on one pair of chains, a row a length."""
    target, draft = chain(config, model, quality, heat)
    key, scheme, k = VERIFIERS[verifier]
    token_rule = "rejection" if key == BLOCK else key
    matrix = accepted(token_rule, scheme, k, target, draft)
    rows = []
    for length in config.lengths:
        if key != BLOCK:
            steps = levels(matrix, target, length)
        elif length <= config.deepest:
            steps = paths(target, draft, length)
        else:
            continue
        row = efficiency(*steps, target, matrix.sum(axis=1))._asdict() | {"length": length}
        if k == 1:
            seed = config.seed + model
            mean, error = drawn(target, draft, length, config.steps, seed, key == BLOCK)
            row |= {"drawn": mean, "error": error}
        rows.append(row)
    return {"rows": rows}


def run(config: Config, place: Place | None = None) -> polars.DataFrame:
    """One row a chain, quality, temperature, verifier and length.

    Columns: model, quality, temperature, rule, scheme, k, length, those of `Efficiency`, and where
    steps were drawn their mean tokens with its standard error.
    """
    import polars

    keys = [
        (model, quality, heat, verifier)
        for model in range(config.models)
        for quality in config.qualities
        for heat in config.temperatures
        for verifier in range(len(VERIFIERS))
    ]
    cells = (place or Place()).fill(
        "block_efficiency", config, keys, lambda *key: measure(config, *key)
    )
    rows = []
    for (model, quality, heat, verifier), cell in zip(keys, cells, strict=True):
        rule_key, scheme, k = VERIFIERS[verifier]
        setting: dict[str, Any] = {"model": model, "quality": quality, "temperature": heat}
        setting |= {"rule": rule_key, "scheme": scheme, "k": k}
        rows += [setting | {"drawn": None, "error": None} | row for row in cell["rows"]]
    return polars.DataFrame(rows, infer_schema_length=None)


def render(config: Config, table: polars.DataFrame) -> str:
    """Means over the chains at the middle quality and temperature 1, a line a verifier."""
    import polars

    heat = min(config.temperatures, key=lambda t: abs(t - 1))
    quality = config.qualities[len(config.qualities) // 2]
    score = ((table["drawn"] - table["exact"]) / table["error"]).drop_nulls().abs()
    lines = [
        "# Tokens a step: exact over long texts, and by formulas for i.i.d. acceptances",
        "",
        f"{config.models} Markov chains of {config.size} states, from hard to guess to nearly "
        f"certain; noise {quality:g} in the draft's logits, temperature {heat:g}; means over the "
        "chains. `i.i.d.`: the formula at the mean acceptance over a text; `pooled`: at accepted "
        "over tested drafts of the steps; `anywhere`: exact for steps that begin at a random place "
        "of the text. `first` and `last`: acceptance at positions 1 and L of the steps.",
        "",
        f"Drawn as well, {config.steps:,} steps each: {len(score)} means, the farthest "
        f"{score.max():.2f} standard errors from its exact value. Made by "
        "`python -m sims.block_efficiency`.",
        "",
        "| rule | scheme | k | L | exact | i.i.d. | pooled | anywhere | first | last |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    here = table.filter((polars.col("quality") == quality) & (polars.col("temperature") == heat))
    means = here.group_by("rule", "scheme", "k", "length", maintain_order=True).agg(
        polars.col("exact", "iid", "pooled", "anywhere").mean(),
        first=polars.col("by_position").list.first().mean(),
        last=polars.col("by_position").list.last().mean(),
    )
    lines += [
        f"| `{row['rule']}` | `{row['scheme']}` | {row['k']} | {row['length']} | "
        f"{row['exact']:.4f} | {row['iid']:.4f} | {row['pooled']:.4f} | {row['anywhere']:.4f} | "
        f"{row['first']:.4f} | {row['last']:.4f} |"
        for row in means.iter_rows(named=True)
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main("block_efficiency", __doc__ or "", Config(), FULL, run, render)
