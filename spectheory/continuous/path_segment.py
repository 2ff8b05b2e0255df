"""The test that most path rules share: the ratio of the last m steps, the rest being noise.

Given the noise that leads to x_m, the last m states have a density under each chain, and ordinary
speculative sampling between the two outputs the target's law given that noise. Whatever joint law
the two noises have, averaging over it gives the target's law of x_0.
"""

from __future__ import annotations

import numpy as np

from spectheory.continuous.path_chain import DenoisingChain, Kernel, Path
from spectheory.continuous.path_residual import MOST_PROPOSALS, Redraw, redraw
from spectheory.continuous.path_rule import Examination, below
from spectheory.errors import EmptyResidual, InputError


def examine_segment(
    target: DenoisingChain,
    draft: DenoisingChain,
    path: Path,
    noise: np.ndarray,
    last: int,
    rng: np.random.Generator,
    log_factor: np.ndarray | float = 0.0,
    most: int = MOST_PROPOSALS,
) -> Examination:
    """Accept with ``min(1, f p(x_0..x_{m-1} | x_m^p) / q(x_0..x_{m-1} | x_m^q))``.

    Rejected rows are redrawn from ``(f p - q)_+`` of those two laws, the same noise before x_m.

    Args:
        target: see `PathRule.examine`.
        draft: likewise.
        path: the draft's path.
        noise: ``(n, T + 1, d)`` tape that leads the target to x_m^p.
        last: m, from 1 to T.
        rng: of the test and of the redraws.
        log_factor: ``(n,)`` log f; 0 for an exact rule.
        most: see `redraw`.

    Raises:
        InputError: ``last`` is not from 1 to T.
        EmptyResidual: when redrawing, f p <= q everywhere, or nearly so.
    """
    if not 1 <= last <= target.steps:
        raise InputError(f"`last` is {last}; expected 1 to the number of steps, {target.steps}")
    start = target.run(noise, stop=last)[:, 0]
    drafted = path.states[:, : last + 1]
    log_factor = np.broadcast_to(log_factor, len(start))
    if last == 1:
        return examine_step(
            target.kernel(1, start),
            draft.kernel(1, drafted[:, 1]),
            path.sample,
            rng,
            log_factor,
            most,
        )

    def log_ratio(rows: np.ndarray, states: np.ndarray) -> np.ndarray:
        """Log of f p / q at x_0..x_{m-1}; entry m of ``states`` is replaced by either start."""
        states[:, last] = start[rows]
        above = target.rows(rows).log_path(states)
        states[:, last] = drafted[rows, last]
        below = draft.rows(rows).log_path(states)
        return np.asarray(log_factor[rows] + above - below)

    def propose(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        states = target.rows(rows).run_from(last, start[rows], rng)
        return states[:, 0], log_ratio(rows, states)

    found = log_ratio(np.arange(len(start)), drafted.copy())
    dimension = target.dimension
    return Examination(
        below(found, rng), found, lambda rows: redraw(propose, rows, dimension, rng, most)
    )


def examine_step(
    above: Kernel,
    under: Kernel,
    drafted: np.ndarray,
    rng: np.random.Generator,
    log_factor: np.ndarray | float = 0.0,
    most: int = MOST_PROPOSALS,
) -> Examination:
    """Test draws of one Gaussian kernel against another: the case m = 1, without networks.

    Args:
        above: the target's kernel p.
        under: the draft's kernel q.
        drafted: ``(n, d)`` draws of q.
        rng: see `examine_segment`, as the rest.
        log_factor: likewise.
        most: likewise.

    Raises:
        EmptyResidual: see `examine_segment`.
    """
    log_factor = np.broadcast_to(log_factor, len(drafted))

    def log_ratio(rows: np.ndarray, x: np.ndarray) -> np.ndarray:
        return np.asarray(
            log_factor[rows] + above.rows(rows).log_density(x) - under.rows(rows).log_density(x)
        )

    def propose(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x = above.rows(rows).at(rng.standard_normal((len(rows), above.mean.shape[1])))
        return x, log_ratio(rows, x)

    def replace(rows: np.ndarray) -> Redraw:
        empty = log_factor[rows] + highest_log_ratio(above.rows(rows), under.rows(rows)) <= 0
        if empty.any():
            raise EmptyResidual(
                f"{int(empty.sum())} of {len(rows)} rejected drafts cannot be replaced: f p <= q "
                f"everywhere, with f down to {np.exp(log_factor[rows][empty].min()):.3g}. Only a "
                "lossy factor f < 1 can reject there"
            )
        return redraw(propose, rows, above.mean.shape[1], rng, most)

    found = log_ratio(np.arange(len(drafted)), drafted)
    return Examination(below(found, rng), found, replace)


def highest_log_ratio(above: Kernel, under: Kernel) -> np.ndarray:
    """``(n,)``: the supremum over x of ``log p(x) / q(x)`` for diagonal Gaussians.

    Coordinate by coordinate: infinite where p is wider, or as wide with another mean; else reached
    at a finite point, with value ``log(s_q / s_p) + gap^2 / (2 (s_q^2 - s_p^2))``.

    >>> p = Kernel(np.array([[1.0]]), np.array(1.0))
    >>> q = Kernel(np.array([[0.0]]), np.array(2.0))
    >>> highest_log_ratio(p, q)
    array([0.85981385])
    """
    shape = above.mean.shape
    gap = above.mean - under.mean
    s_p, s_q = np.broadcast_to(above.scale, shape), np.broadcast_to(under.scale, shape)
    wider = s_q**2 - s_p**2
    with np.errstate(divide="ignore", invalid="ignore"):
        inside = np.log(s_q / s_p) + gap**2 / (2 * wider)
    same = np.where(gap == 0, 0.0, np.inf)
    return np.where(wider > 0, inside, np.where(wider == 0, same, np.inf)).sum(axis=-1)
