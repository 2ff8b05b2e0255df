"""How large a bias can still be: confidence bounds that hold after every draw.

All rest on one fact: for a score y in [-1, 1] with conditional means m_t, whatever they are,
``exp(b sum (y_t - m_t) - (-log(1 - b) - b) sum y_t^2)`` is a supermartingale for every b in [0, 1).
The scores are centred under the target, so ``sum y^2`` is their variance up to the bias itself.
b may change from draw to draw, as long as it is known before the draw is.

Reference: howard2021time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from spectheory.audit.context import RANK_BINS, Context
from spectheory.audit.learned import Tallies

RATES = 2.0 ** -np.arange(1.0, 15.0)
"""The b that are tried; a union over them costs log(14) nats."""


@dataclass(frozen=True)
class Bound:
    """How large a bias of one kind may be.

    Attributes:
        direction: key of the kind of bias.
        meaning: what moves, in words.
        unit: what the numbers measure.
        seen: the size that was measured; noise is part of it.
        upper: the true size is at most this; all bounds of a report hold together with probability
            ``1 - alpha``, however often one looks.

    Over several contexts both are of the mean over draws of a signed size: opposite biases of two
    contexts cancel.
    """

    direction: str
    meaning: str
    unit: str
    seen: float
    upper: float


def deviation(squares: Any, alpha: float) -> np.ndarray:
    """Bound on ``|sum_t (y_t - m_t)|`` that holds for all t together.

    Args:
        squares: ``(...)`` sum of ``y_t^2``.
        alpha: probability that it fails.

    >>> bool(deviation(1e4, 1e-3) < 550)  # 5.5 standard deviations
    True
    """
    squares = np.asarray(squares, dtype=np.float64)
    cost = math.log(2 * RATES.size / alpha)
    least = np.full(squares.shape, np.inf)
    for b in RATES.tolist():
        least = np.minimum(least, (cost + (-math.log1p(-b) - b) * squares) / b)
    return least


def weighted_deviation(costs: Any, alpha: float) -> float:
    """As `deviation`, of ``|sum_t r_t (y_t - m_t)|`` with weights r known before the draws.

    Args:
        costs: ``(RATES,)`` sum of ``(-log(1 - b r_t) - b r_t) y_t^2`` for each b; infinite where
            some ``b r_t`` reached 1.
        alpha: probability that it fails.

    >>> b = RATES / 2  # all weights 1/2: half of the plain deviation
    >>> costs = (-np.log1p(-b) - b) * 1e4
    >>> bool(deviation(1e4, 1e-3) / 2 <= weighted_deviation(costs, 1e-3) < 300)
    True
    """
    return float(((math.log(2 * RATES.size / alpha) + np.asarray(costs)) / RATES).min())


MEANINGS = {
    "draft_ratio": ("the output leans towards the draft, or away from it", "total variation"),
    "log_probability": ("the output is sharper or flatter than the target", "total variation"),
    "acceptance": ("drafts are accepted more or less often than stated", "probability"),
}


@dataclass
class _Sums:
    """Of scores in units of bias: each times ``size``, what a mean score of 1 says of its context.

    Attributes:
        total: sum of scores times size.
        costs: for `weighted_deviation`, at weights size / ``unit``.
        unit: size at the first context.
        draws: number of scores.
    """

    total: float = 0.0
    costs: list[float] = field(default_factory=lambda: [0.0] * RATES.size)
    unit: float = 0.0
    draws: int = 0

    def add(self, values: np.ndarray, size: float) -> None:
        """Take in ``(n,)`` scores of one context."""
        self.draws += len(values)
        if size == 0:  # this context has no such bias, and its scores are 0
            return
        self.unit = self.unit or size
        self.total += size * float(values.sum())
        squares, b = float((values**2).sum()), RATES * (size / self.unit)
        valid = np.where(b < 1, b, 0.0)
        more = np.where(b < 1, (-np.log1p(-valid) - valid) * squares, np.inf)
        self.costs = (np.asarray(self.costs) + more).tolist()


class FixedScores:
    """Sums of the scores that are fixed beforehand, each in units of the bias that it measures."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._sums = {name: _Sums() for name in names}

    def add(self, scores: Mapping[str, np.ndarray], context: Context, speaks: bool) -> None:
        """Take in ``(n,)`` scores of each name; ``speaks`` says whether acceptance was told."""
        for name, values in scores.items():
            size = 0.0
            if name == "acceptance":
                if not speaks or context.acceptance is None:
                    continue
                size = max(context.acceptance, 1 - context.acceptance)
            else:
                direction = getattr(context, name)
                # A step e moves the mean score by e * shift, and costs e * variation.
                if direction is not None and direction.shift > 0:
                    size = direction.variation / direction.shift
            self._sums[name].add(values, size)

    def bound(self, name: str, alpha: float) -> Bound | None:
        """The bound along one direction; None where nothing was seen, or no bias is possible."""
        sums = self._sums.get(name)
        if sums is None or sums.unit == 0:
            return None
        seen = abs(sums.total) / sums.draws
        upper = seen + weighted_deviation(sums.costs, alpha) * sums.unit / sums.draws
        meaning, unit = MEANINGS[name]
        return Bound(name, meaning, unit, min(seen, 1.0), min(upper, 1.0))

    def state(self) -> dict[str, Any]:
        """The sums by name."""
        return {name: asdict(sums) for name, sums in self._sums.items()}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> FixedScores:
        """Continue where `state` was taken."""
        made = cls(list(state))
        made._sums = {name: _Sums(**sums) for name, sums in state.items()}
        return made


def rank_bound(tallies: Tallies, alpha: float) -> Bound | None:
    """Total variation of the output's rank bin from uniform: a union over all sets of bins.

    For one set the deviation is at most ``sqrt((n/4 + s) (log((n/4 + s)/s) + 2 log(1/a)))`` at all
    times (normal mixture, s = 1000); there are 2^63 sets up to complement.
    """
    n = tallies.draws
    if n == 0:
        return None
    spread, cost = n / 4 + 1000, RANK_BINS * math.log(2) + math.log(1 / alpha)
    radius = math.sqrt(spread * (math.log(spread / 1000) + 2 * cost)) / n
    seen = 0.5 * float(np.abs(tallies.ranks / n - 1 / RANK_BINS).sum())
    return Bound(
        "rank_uniformity",
        f"probability moves between {RANK_BINS} bins of the target's rank",
        "total variation",
        seen,
        min(1.0, seen + radius),
    )


def token_bound(tallies: Tallies, alpha: float) -> Bound | None:
    """Largest change of any one token's probability: a union over the vocabulary."""
    n = tallies.draws
    if n == 0:
        return None
    squares = np.maximum(tallies.counts - 2 * tallies.hit + tallies.squared, 0.0)
    off = np.abs(tallies.counts - tallies.expected)
    upper = float((off + deviation(squares, alpha / squares.size)).max()) / n
    return Bound(
        "single_token",
        f"token {int(off.argmax())}, or any other, is too frequent or too rare",
        "total variation",
        float(off.max()) / n,
        min(1.0, upper),
    )
