"""Test martingales by betting: evidence that holds however often one looks.

A score of the next draw whose mean is 0 under the null, whatever came before, is a fair bet: wealth
``prod_t (1 + b y_t)`` is a non-negative martingale of mean 1. By Ville's inequality it ever reaches
1 / alpha with probability at most alpha. Means of martingales are martingales, over bets b as over
tests, so neither the size of the bias nor the test that sees it need be known beforehand.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from spectheory.errors import InputError, ShapeError

BETS = np.concatenate([side * 0.95 * 2.0 ** -np.arange(0.0, 13.0, 0.75) for side in (-1, 1)])
"""Constant bets, evenly apart in logarithm: the best of them grows at 93 % of the best rate or
more for biases from 2e-4 standard deviations up, and the mean costs log(36) = 3.6 nats."""

ROUNDING = 1e-9
"""How far beyond 1 a score may stand; it is then cut off."""


class TestMartingale:
    """Bets on several centred scores at once, one e-process each and their mean.

    The score of a draw may depend on all draws before it, and on anything drawn independently, but
    on its own draw only through a function whose mean under the null is 0. Scores of different
    tests may depend on each other in any way.

    Attributes:
        names: the tests.
        draws: draws seen.
        log_e: ``(tests,)`` logarithm of each test's wealth now.
        log_peak: ``(tests,)`` the highest it has been, after whichever draw.
        log_mean: logarithm of the mean wealth over tests now.
        log_mean_peak: the highest that has been; the null is rejected at ``exp(-log_mean_peak)``.
        peaked_at: the draw after which that was.

    Reference: shafer2021testing; waudbysmith2024estimating.

    >>> rng = np.random.default_rng(0)
    >>> fair = TestMartingale(["coin"])
    >>> _ = fair.update(rng.choice([-1.0, 1.0], 10_000))
    >>> fair.p_bound > 0.01
    True
    >>> loaded = TestMartingale(["coin"])
    >>> path = loaded.update(rng.choice([-1.0, 1.0], 10_000, p=[0.48, 0.52]))
    >>> loaded.p_bound < 0.01, path.shape
    (True, (10000,))
    """

    __test__ = False  # not a pytest class

    def __init__(self, names: Sequence[str], bets: np.ndarray = BETS) -> None:
        if len(names) == 0 or len(set(names)) < len(names):
            raise InputError(f"`names` is {list(names)}; expected distinct tests, at least one")
        if bets.ndim != 1 or bets.size == 0 or not np.abs(bets).max() < 1:
            raise InputError("`bets` must be numbers in (-1, 1): a bet of 1 can lose everything")
        self.names = tuple(names)
        self.bets = np.ascontiguousarray(bets, dtype=np.float64)
        self.draws = 0
        self.log_peak = np.zeros(len(names))
        self.log_mean = 0.0
        self.log_mean_peak = 0.0
        self.peaked_at = 0
        self._log_wealth = np.zeros((len(names), bets.size))

    def update(self, scores: np.ndarray) -> np.ndarray:
        """Take in the scores of the next draws.

        Args:
            scores: ``(n, tests)`` in [-1, 1], mean 0 under the null given the draws before; or
                ``(n,)`` for a single test. 0 where a test has nothing to say about a draw.

        Returns:
            ``(n,)`` logarithm of the mean wealth after each draw.

        Raises:
            ShapeError: another number of tests.
            InputError: NaN, or a score outside [-1, 1].
        """
        from spectheory.kernels.betting import place_bets

        scores = np.asarray(scores, dtype=np.float64)
        if scores.ndim == 1 and len(self.names) == 1:
            scores = scores[:, None]
        if scores.ndim != 2 or scores.shape[1] != len(self.names):
            raise ShapeError(
                f"`scores` has shape {scores.shape}; expected (n, {len(self.names)}), a column for "
                f"each of {', '.join(self.names)}"
            )
        if scores.shape[0] == 0:
            return np.empty(0)
        extreme = float(np.abs(scores).max())
        if not extreme <= 1 + ROUNDING:
            raise InputError(
                f"`scores` holds {extreme:.6g}; expected centred scores in [-1, 1]. Divide by "
                "their bound"
            )
        path = np.empty(len(scores))
        scores = np.clip(scores, -1.0, 1.0)
        place_bets(self._log_wealth, self.bets, scores, self.log_peak, path)
        highest = int(path.argmax())
        if path[highest] > self.log_mean_peak:
            self.log_mean_peak, self.peaked_at = float(path[highest]), self.draws + highest + 1
        self.log_mean = float(path[-1])
        self.draws += len(path)
        return path

    @property
    def log_e(self) -> np.ndarray:
        top = self._log_wealth.max(axis=1)
        shares = np.exp(self._log_wealth - top[:, None])
        wealth: np.ndarray = top + np.log(shares.mean(axis=1))
        return wealth

    @property
    def p_bound(self) -> float:
        """Upper bound on the p-value at any stopping time: 1 over the highest mean wealth."""
        return math.exp(-self.log_mean_peak)

    def state(self) -> dict[str, Any]:
        """All there is to continue from, as numbers, strings and lists (JSON keeps it exactly)."""
        return {
            "names": list(self.names),
            "bets": self.bets.tolist(),
            "draws": self.draws,
            "log_peak": self.log_peak.tolist(),
            "log_mean": self.log_mean,
            "log_mean_peak": self.log_mean_peak,
            "peaked_at": self.peaked_at,
            "log_wealth": self._log_wealth.tolist(),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> TestMartingale:
        """Continue where `state` was taken.

        >>> half = TestMartingale(["a"])
        >>> _ = half.update(np.full(100, 0.3))
        >>> TestMartingale.from_state(half.state()).p_bound == half.p_bound
        True
        """
        made = cls(state["names"], np.array(state["bets"]))
        made.draws = int(state["draws"])
        made.log_peak = np.array(state["log_peak"], dtype=np.float64)
        made.log_mean = float(state["log_mean"])
        made.log_mean_peak = float(state["log_mean_peak"])
        made.peaked_at = int(state["peaked_at"])
        made._log_wealth = np.array(state["log_wealth"], dtype=np.float64)
        return made
