"""Draws from the residual ``(f p - q)_+`` by rejection from p, with the trials reported."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from spectheory.errors import EmptyResidual

MOST_PROPOSALS = 10_000_000
"""An exact rule that accepts a draft with probability a exceeds N trials with probability
``(1 - a) a^N <= 1 / (e N)``, here below 4e-8, whatever a is."""

AT_ONCE = 1 << 15


class Redraw(NamedTuple):
    """What takes the place of rejected drafts.

    Attributes:
        sample: ``(r, d)``.
        proposals: ``(r,)`` draws of the target that it took.
    """

    sample: np.ndarray
    proposals: np.ndarray


def redraw(
    propose: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    rows: np.ndarray,
    dimension: int,
    rng: np.random.Generator,
    most: int = MOST_PROPOSALS,
    give_up: bool = False,
) -> Redraw:
    """Draw from p until one is kept, with probability ``(1 - q / (f p))_+``, for each row.

    Rows that are not served are proposed for again, in batches that double.

    Args:
        propose: for row numbers ``(b,)``, draws of p ``(b, d)`` and ``log(f p / q)`` there.
        rows: ``(r,)`` rows to serve.
        dimension: d.
        rng: decides which proposals are kept.
        most: proposals for a row.
        give_up: leave a row at zero that got no more than that, instead of raising.

    Raises:
        EmptyResidual: none of ``most`` proposals was kept for some row.
    """
    sample = np.empty((len(rows), dimension))
    proposals = np.zeros(len(rows), dtype=np.int64)
    waiting, batch = np.arange(len(rows)), 1
    while len(waiting):
        for some in np.array_split(waiting, -(-len(waiting) // AT_ONCE)):
            drawn, log_ratio = propose(np.repeat(rows[some], batch))
            drop = np.log1p(-rng.random(len(log_ratio))) <= -log_ratio
            keep = ~drop.reshape(len(some), batch)
            first, found = keep.argmax(axis=1), keep.any(axis=1)
            at = some[found]
            sample[at] = drawn.reshape(len(some), batch, dimension)[found, first[found]]
            proposals[some] += np.where(found, first + 1, batch)
            proposals[at] *= -1  # marks the row as served
        waiting = waiting[proposals[waiting] > 0]
        spent = int(proposals[waiting[:1]].sum())  # the same for every row that waits
        if spent >= most and give_up:
            sample[waiting] = 0.0
            proposals[waiting] *= -1
            break
        if spent >= most:
            raise EmptyResidual(
                f"{len(waiting)} of {len(rows)} rejected drafts found no replacement in {most} "
                "draws of the target: (f p - q)_+ has next to no mass, so what was rejected "
                "cannot be made up for. A factor f below 1?"
            )
        batch = max(1, min(2 * batch, AT_ONCE // max(1, len(waiting)), most - spent))
    return Redraw(sample, -proposals)
