"""How many draws an audit needs, test by test, to see a bias of given size and direction.

For a bet b on a fixed score the logarithm of the wealth is a random walk, whose mean and variance
under the biased law are computed. A learnt score is a quadratic statistic in disguise: with excess
probability d, weights w and ``K = sum p^2 / w^2``, the sum of scores after n draws, in their
standard deviations, has

    mean      (2/3) n^(3/2) sum d^2 / w / sqrt(K)
    variance  n + (11/6) n^2 Var(d / w) / K,

and its scale follows the largest score. Scores are cut off where the audit cuts them off, which
binds where a few cells carry all of the bias, as with a lost tail under Pearson's test. Leading
order: a plan is a guide, to be read beside measured power (sims/audit_power.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp, ndtri

from spectheory.audit.battery import FIRST, TESTS
from spectheory.audit.biases import biased_law
from spectheory.audit.context import RANK_BINS, Context, mean
from spectheory.audit.learned import CLIP, EDGES, LEARNED, POOLED_BELOW
from spectheory.audit.martingale import BETS
from spectheory.errors import InputError

Growth = Callable[[float], np.ndarray]
"""Log wealth of each bet after n draws."""

STEPS = 16
"""Times, evenly apart in logarithm, at which a learnt score is worked out."""

FAR = 2.5
"""Standard deviations of noise that the largest score is taken to have."""

MOST = 1e12
"""Beyond this many draws a test is taken not to see the bias."""


@dataclass(frozen=True)
class AuditPlan:
    """Draws needed.

    Attributes:
        direction: kind of bias; see `spectheory.audit.biases`.
        bias: its size in total variation.
        alpha: false-alarm rate of the audit.
        power: probability that the bias is seen within the draws.
        draws: by test, draws after which that test alone makes the audit alarm; infinite where it
            does not see the bias.
    """

    direction: str
    bias: float
    alpha: float
    power: float
    draws: dict[str, float]

    @property
    def needed(self) -> float:
        """Draws after which the audit alarms: those of the quickest test."""
        return min(self.draws.values())

    @property
    def test(self) -> str:
        """The quickest test."""
        return min(self.draws, key=lambda test: self.draws[test])

    def __str__(self) -> str:
        return (
            f"{self.needed:,.0f} draws see a bias of {self.bias:.2%} (total variation) in "
            f"direction `{self.direction}` with probability {self.power:g}, by `{self.test}`; "
            f"false alarms at most {self.alpha:g}."
        )


def plan_audit(
    bias: float,
    alpha: float,
    power: float,
    target: np.ndarray,
    draft: np.ndarray | None = None,
    direction: str = "draft",
) -> AuditPlan:
    """How many draws `KnownTargetAudit` needs to see a bias.

    Args:
        bias: total variation between output law and target.
        alpha: false-alarm rate of the audit.
        power: probability of seeing the bias.
        target: ``(V,)`` float64.
        draft: ``(V,)``, or None.
        direction: the kind of bias; see `spectheory.audit.biases`.

    Raises:
        InputError, UnknownName: rates outside (0, 1), or no such bias at this target.

    >>> p, q = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5])
    >>> plan = plan_audit(0.02, 1e-3, 0.9, p, q)
    >>> plan.test, 5e3 < plan.needed < 2e4
    ('draft_ratio', True)
    """
    _check(alpha, power)
    context = Context.of(target, draft)
    law = biased_law(context.target, context.draft, direction, bias)
    growths = _growths(context, law, power)
    needed = _needed(context, alpha)
    draws = {test: _first(growth, needed) for test, growth in growths.items()}
    return AuditPlan(direction, bias, alpha, power, draws)


def smallest_seen(
    draws: float,
    alpha: float,
    power: float,
    target: np.ndarray,
    draft: np.ndarray | None = None,
    direction: str = "draft",
    test: str | None = None,
) -> float:
    """The least bias that is planned to be seen within so many draws; NaN if none is.

    Args:
        draws: draws to be made.
        test: by this test alone; by the quickest if None.

    The other arguments are those of `plan_audit`.

    >>> p, q = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5])
    >>> 0.01 < smallest_seen(3e4, 1e-3, 0.9, p, q) < 0.03
    True
    """
    _check(alpha, power)
    context = Context.of(target, draft)
    needed = _needed(context, alpha)

    def sees(bias: float) -> bool | None:
        try:
            law = biased_law(context.target, context.draft, direction, bias)
        except InputError:
            return None
        growths = _growths(context, law, power, test)
        return any(logsumexp(f(draws)) >= needed for f in growths.values())

    low, high, seen = 1e-6, 1.0, False
    while high / low > 1.005:
        middle = math.sqrt(low * high)
        found = sees(middle)
        seen = seen or bool(found)
        # None: more than the target allows, so that less is tried.
        low, high = (middle, high) if found is False else (low, middle)
    return high if seen else math.nan


def _check(alpha: float, power: float) -> None:
    for name, value in (("alpha", alpha), ("power", power)):
        if not 0 < value < 1:
            raise InputError(f"`{name}` is {value}; expected a rate in (0, 1)")


def _needed(context: Context, alpha: float) -> float:
    """Log of the sum over one test's bets at which that test alone brings the mean to 1 / alpha."""
    tests = len(TESTS) - (2 if context.draft is None else 0)
    return math.log(tests * BETS.size / alpha)


def _growths(
    context: Context, law: np.ndarray, power: float, only: str | None = None
) -> dict[str, Growth]:
    """Log wealth of each bet as a function of n, by test."""
    fixed = {"log_probability": context.log_probability}
    if context.draft_ratio is not None:
        fixed = {"draft_ratio": context.draft_ratio} | fixed
    growths = {
        test: _fixed_growth(direction.score, law, power)
        for test, direction in fixed.items()
        if only in (None, test)
    }
    for test in LEARNED:
        if only in (None, test):
            growths[test] = _learnt_growth(test, context, law, power)
    return growths


def _fixed_growth(score: np.ndarray, law: np.ndarray, power: float) -> Growth:
    """Log wealth of each bet after n draws, at the quantile that the power asks for."""
    quantile = -float(ndtri(power))
    logs = [np.log1p(bet * score) for bet in BETS.tolist()]
    means = np.array([mean(log, law) for log in logs])
    spreads = np.sqrt(
        [max(mean(log**2, law) - m**2, 0.0) for log, m in zip(logs, means, strict=True)]
    )
    return lambda n: n * means + quantile * math.sqrt(n) * spreads


def _learnt_growth(test: str, context: Context, law: np.ndarray, power: float) -> Growth:
    """As `_fixed_growth`, for a score learnt on the way."""
    quantile = -float(ndtri(power))

    def growth(n: float) -> np.ndarray:
        p, r, weight = _cells(test, context, law, n)
        size = math.sqrt(float((p**2 / weight**2).sum()))
        lean = (r - p) / weight / size  # the score is sqrt(t) of it, and noise
        noise = np.sqrt(r) / weight / size
        ends = np.geomspace(min(FIRST, n), n, STEPS + 1)
        at, length = np.sqrt(ends[:-1] * ends[1:]), np.diff(ends)
        signal = np.clip(np.sqrt(at)[:, None] * lean, -CLIP, CLIP)
        # Scores are divided by the largest of them.
        unit = np.clip((np.abs(signal) + FAR * noise).max(axis=1), 1.0, CLIP)
        drift = float((length / unit * np.sum(signal * (r - p), axis=1)).sum())
        squares = np.sum(signal**2 * r, axis=1) + mean(noise**2, r)
        square = float((length * squares / unit**2).sum())
        lean = signal[-1] / math.sqrt(at[-1])
        spread = max(mean(lean**2, r) - mean(lean, r) ** 2, 0.0)
        doubt = square + 11 / 6 * n**2 * spread / float(unit[-1]) ** 2
        wealth: np.ndarray = BETS * (drift + quantile * math.sqrt(doubt)) - BETS**2 * square / 2
        return wealth

    return growth


def _cells(
    test: str, context: Context, law: np.ndarray, n: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Target, output law and weight of the cells that a learnt test compares."""
    p = context.target
    if test == "rank_uniformity":
        ends = np.concatenate([[0.0], np.cumsum(p[context.ranked])])
        through = np.concatenate([[0.0], np.cumsum(law[context.ranked])])
        bins = np.full(RANK_BINS, 1 / RANK_BINS)
        return bins, np.diff(np.interp(EDGES, ends, through)), bins
    possible = p > 0
    p, r = p[possible], law[possible]
    if test == "collisions":
        return p, r, np.ones_like(p)
    if test == "valiant_valiant":
        return p, r, np.cbrt(p) ** 2
    # Cells as they are halfway.
    rare = n / 2 * p < POOLED_BELOW
    octave = 1 - np.frexp(p[rare])[1]  # frexp gives at most 1
    cells = [np.concatenate([x[~rare], np.bincount(octave, x[rare])]) for x in (p, r)]
    some = cells[0] > 0
    return cells[0][some], cells[1][some], cells[0][some]


def _first(growth: Growth, needed: float) -> float:
    """The least n, to a part in a hundred, at which the bets together have grown enough."""
    low, high = 1.0, 2.0
    while logsumexp(growth(high)) < needed:
        low, high = high, 2 * high
        if high > MOST:
            return math.inf
    while high / low > 1.01:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if logsumexp(growth(middle)) >= needed else (middle, high)
    return high
