"""Scores learnt from the draws so far: for biases that nobody named beforehand.

What was drawn too often is bet on. With N the counts so far and E their expectation under the
target, the score of token x is proportional to its excess ``N_x - E_x`` over a weight:

    collisions       1          sees large probabilities (the statistic of collisions, or L2)
    pearson          E_x        sees relative changes; tokens of E_x < 5 are pooled by octaves of p
    valiant_valiant  E_x^(2/3)  the instance-optimal weight between the two
    rank_uniformity  excess over 64 bins of the rank: of ``U = mass ranked above + V p(x)``, V
                     uniform, which is uniform under the target; the randomisation V is integrated
                     out of the score

Each is cut off, centred under the target, and bounded, so betting on it is a test martingale; the
sum of such scores over time is the usual quadratic statistic. Contexts may change from draw to
draw: counts and expectations are added up over them.

Reference: valiant2017automatic.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from spectheory.audit.context import RANK_BINS, Context, bounded, mean

CLIP = 8.0
"""Standard deviations under the null at which a learnt score is cut off."""

POOLED_BELOW = 5.0
"""Tokens expected fewer times than this are pooled, as in Pearson's test."""

EDGES = np.linspace(0.0, 1.0, RANK_BINS + 1)


class Tallies:
    """Counts and their expectations, by token and by bin of the rank.

    Attributes:
        counts: ``(V,)`` draws of each token.
        expected: ``(V,)`` sum over draws of the target's probability p.
        squared: ``(V,)`` sum over draws of p^2.
        hit: ``(V,)`` sum of p over the draws of the token itself.
        ranks: ``(64,)`` draws by bin; a token over several bins counts in shares.
    """

    def __init__(self, size: int) -> None:
        self.counts, self.expected, self.squared, self.hit = np.zeros((4, size))
        self.ranks = np.zeros(RANK_BINS)

    @property
    def draws(self) -> float:
        """Draws in all, impossible ones left out."""
        return float(self.counts.sum())

    def add(self, counts: np.ndarray, context: Context) -> None:
        """Take in ``(V,)`` counts of draws in one context."""
        n, p = counts.sum(), context.target
        self.counts += counts
        self.expected += n * p
        self.squared += n * p**2
        self.hit += counts * p
        through = np.concatenate([[0.0], np.cumsum(counts[context.ranked])])
        ends = np.concatenate([[0.0], np.cumsum(p[context.ranked])])
        self.ranks += np.diff(np.interp(EDGES, ends, through))

    def state(self) -> dict[str, np.ndarray]:
        """The arrays by name."""
        return dict(vars(self))

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Take over the arrays that `state` gave."""
        for name in vars(self):
            setattr(self, name, np.array(state[name]))

    def copy(self) -> Tallies:
        """The tallies as they are now."""
        made = Tallies(self.counts.size)
        made.restore(self.state())
        return made


def collisions(tallies: Tallies, context: Context) -> np.ndarray:
    """See the module: excess counts as they are."""
    scale = np.sqrt(mean(tallies.expected, context.target)) or 1.0  # 0: nothing learnt here yet
    return _cut((tallies.counts - tallies.expected) / scale, context)


def valiant_valiant(tallies: Tallies, context: Context) -> np.ndarray:
    """See the module: excess over the 2/3 power of the expectation."""
    expected = tallies.expected
    seen = expected > 0
    root = np.cbrt(np.where(seen, expected, 1.0))
    scale = np.sqrt(mean(seen / root, context.target)) or 1.0  # 0: nothing learnt here yet
    return _cut(np.where(seen, tallies.counts - expected, 0.0) / (scale * root**2), context)


def pearson(tallies: Tallies, context: Context) -> np.ndarray:
    """See the module: relative excess, rare tokens pooled."""
    p, expected = context.target, tallies.expected
    rare = np.flatnonzero((expected < POOLED_BELOW) & (p > 0))
    excess = tallies.counts - expected
    variance = p / np.where(expected > 0, expected, 1.0)
    relative = excess / np.where(expected > 0, expected, 1.0)
    variance[rare] = 0.0
    if rare.size:
        octave = -np.frexp(p[rare])[1]
        octave -= octave.min()
        pooled = np.bincount(octave, expected[rare])
        # What is too rare even by octaves goes together.
        octave = np.where(pooled[octave] < POOLED_BELOW, pooled.size, octave)
        pooled = np.bincount(octave, expected[rare])
        some = np.where(pooled > 0, pooled, 1.0)
        relative[rare] = (np.bincount(octave, excess[rare]) / some)[octave]
        variance[rare] = p[rare] / some[octave]
    return _cut(relative / np.sqrt(variance.sum()), context)


def rank_uniformity(tallies: Tallies, context: Context) -> np.ndarray:
    """See the module: excess by bin of the rank."""
    expected = tallies.draws / RANK_BINS
    height = np.clip((tallies.ranks - expected) / np.sqrt(expected), -CLIP, CLIP)
    start, p = context.start, context.target
    first = np.minimum((start * RANK_BINS).astype(np.int64), RANK_BINS - 1)
    last = np.minimum(((start + p) * RANK_BINS).astype(np.int64), RANK_BINS - 1)
    area = np.concatenate([[0.0], np.cumsum(height)]) / RANK_BINS
    over = np.flatnonzero(last > first)
    score = height[first]
    score[over] = (
        np.interp(start[over] + p[over], EDGES, area) - np.interp(start[over], EDGES, area)
    ) / p[over]
    return bounded(np.clip(score, -CLIP, CLIP), p)


def _cut(score: np.ndarray, context: Context) -> np.ndarray:
    return bounded(np.clip(score, -CLIP, CLIP), context.target)


LEARNED: dict[str, Callable[[Tallies, Context], np.ndarray]] = {
    "rank_uniformity": rank_uniformity,
    "pearson": pearson,
    "valiant_valiant": valiant_valiant,
    "collisions": collisions,
}
