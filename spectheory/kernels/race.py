"""Plackett-Luce draws without replacement, exactly, by the exponential race.

Give token x an arrival time Exp(q(x)); the first k arrivals are k draws without replacement. Rank
the tokens, lowest priority first, and output the highest-ranked draft. Token i is then output with
probability ``b_i = P(all drafts lie in H_i) - P(all drafts lie in H_{i-1})``, H_i the first i
tokens. With r the draft mass ranked above i and C_j(t) the probability that at most j of the tokens
ranked below i have arrived by time t,

    b_i = integral over t > 0 of  exp(-r t) [ q_i exp(-q_i t) C_{k-1}(t)
                                             - r (1 - exp(-q_i t)) C_{k-2}(t) ] dt.

Token by token ``C_j <- C_j exp(-q t) + C_{j-1} (1 - exp(-q t))``. Both terms of the integrand are
at most of the order of q_i, so a difference of two nearly equal containments is never formed, and
all numbers of drafts up to k come out of one pass.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spectheory.kernels.compiling import compiled

STEP = 0.125
NEGLIGIBLE = 1e-18
LANES = 16
"""Quadrature nodes handled together: two cache lines, and the length of the inner loops."""
SMALL = 2e-3
"""Up to here five terms of the exponential's series err by less than 3e-16."""
RATE = 2.0**512
"""Arrivals a unit of time of a token of mass 1: the second most probable token of a sharply
tempered draft may have a mass of 1e-320, and its arrival must be a time that a float can hold."""
LATEST = 800.0
"""Logarithm of a time, in units of 1 / `RATE`, by which every token of positive mass is there."""


def prefix_bases(ranked: np.ndarray, counts: Sequence[int]) -> np.ndarray:
    """Probability that each token is the highest-ranked draft, for several numbers of drafts.

    Args:
        ranked: ``(..., V)`` float64 draft probabilities, lowest priority first.
        counts: the numbers of drafts without replacement.

    Returns:
        ``(len(counts), ..., V)`` float64; absolute error of its running sums about 1e-13.

    >>> prefix_bases(np.array([0.25, 0.25, 0.5]), [1, 2]).round(12).tolist()
    [[0.25, 0.25, 0.5], [0.0, 0.166666666667, 0.833333333333]]
    """
    rows = np.ascontiguousarray(ranked, dtype=np.float64).reshape(-1, ranked.shape[-1]) * RATE
    bases = _bases_of_rows(rows, np.asarray(counts, dtype=np.int64))
    return np.moveaxis(bases, 1, 0).reshape(len(counts), *ranked.shape)


def prefix_containment(ranked: np.ndarray, k: int) -> np.ndarray:
    """Q of every prefix of the token order.

    Args:
        ranked: ``(..., V)`` float64 draft probabilities in the order of the prefixes.
        k: number of draws without replacement.

    Returns:
        ``(..., V)`` float64, entry j for the first j + 1 tokens; absolute error about 1e-13.

    >>> prefix_containment(np.array([0.25, 0.25, 0.5]), 2).round(12).tolist()
    [0.0, 0.166666666667, 1.0]
    """
    return np.minimum(np.cumsum(prefix_bases(ranked, [k])[0], axis=-1), 1.0)


@dataclass(frozen=True)
class Race:
    """One draft law with its quadrature, for the bases of many priority orders.

    Attributes:
        law: ``(V,)`` draft probabilities by token, times `RATE`.
        k: number of drafts.
        nodes, weights: ``(blocks, LANES)`` times and quadrature weights.
        stay: ``(blocks, V, LANES)`` probability of not having arrived, ``exp(-q t)``.

    >>> race = Race.of(np.array([0.5, 0.25, 0.25]), 2)
    >>> race.base(np.array([1, 2, 0])).round(12).tolist()
    [0.833333333333, 0.0, 0.166666666667]
    """

    law: np.ndarray
    k: int
    nodes: np.ndarray
    weights: np.ndarray
    stay: np.ndarray

    @classmethod
    def of(cls, law: np.ndarray, k: int) -> Race:
        """The race of a ``(V,)`` draft law; about 100 V numbers are kept."""
        law = np.ascontiguousarray(law, dtype=np.float64) * RATE
        nodes, weights = _quadrature(law, k)
        stay = np.empty((nodes.shape[0], law.shape[0], LANES))
        for block in range(nodes.shape[0]):
            _survive(law, nodes[block], stay[block])
        return cls(law, k, nodes, weights, stay)

    def base(self, order: np.ndarray) -> np.ndarray:
        """``(V,)`` probability, by token, of being the highest-ranked draft.

        Args:
            order: ``(V,)`` permutation of the tokens, lowest priority first.
        """
        counts = np.array([self.k])
        bases = np.zeros((1, self.law.shape[0]))
        above = np.empty((self.law.shape[0], LANES))
        for block in range(self.nodes.shape[0]):
            _add_block(
                self.law,
                order,
                self.stay[block],
                self.nodes[block],
                self.weights[block],
                counts,
                above,
                bases,
            )
        _settle(self.law, order, counts, bases)
        return bases[0]


@compiled(nogil=True)
def _bases_of_rows(rows: np.ndarray, counts: np.ndarray) -> np.ndarray:
    size = rows.shape[1]
    bases = np.zeros((rows.shape[0], counts.shape[0], size))
    for row in range(rows.shape[0]):
        law, order = rows[row], np.arange(size)
        nodes, weights = _quadrature(law, counts.max())
        stay, above = np.empty((size, LANES)), np.empty((size, LANES))
        for block in range(nodes.shape[0]):
            _survive(law, nodes[block], stay)
            _add_block(law, order, stay, nodes[block], weights[block], counts, above, bases[row])
        _settle(law, order, counts, bases[row])
    return bases


@compiled(nogil=True)
def _survive(law: np.ndarray, times: np.ndarray, stay: np.ndarray) -> None:
    """Write ``exp(-q t)``; by its series where q t is small, which for most tokens it is."""
    latest = times.max()
    for i in range(law.shape[0]):
        q = law[i]
        if q * latest < SMALL:
            for n in range(LANES):
                x = q * times[n]
                stay[i, n] = 1.0 - x * (1.0 - x * (0.5 - x * (1.0 / 6.0 - x / 24.0)))
        else:
            for n in range(LANES):
                stay[i, n] = math.exp(-q * times[n])


@compiled(nogil=True)
def _quadrature(law: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Trapezoid in x for t = exp(x - exp(-x)): the integrand dies double-exponentially both ways.

    The right end is where fewer than k arrivals of the whole vocabulary have negligible
    probability, which bounds the integrand of every token. The last block is filled up with nodes
    of weight 0.
    """
    right = 1.0
    unit = math.log(RATE)
    while _too_few_arrivals(law, k, math.exp(right - unit)) > NEGLIGIBLE and right < LATEST:
        right += 0.5
    left = -3.75
    count = math.ceil((right - left) / STEP) + 1
    blocks = (count + LANES - 1) // LANES
    nodes = np.ones((blocks, LANES))
    weights = np.zeros((blocks, LANES))
    for n in range(count):
        x = left + n * STEP
        # A division by a power of two costs no digits; what is late enough to overflow needs few.
        t = math.exp(x - math.exp(-x)) / RATE if x < 700.0 else math.exp(x - unit)
        nodes[n // LANES, n % LANES] = t
        weights[n // LANES, n % LANES] = STEP * t * (1.0 + math.exp(-x))
    return nodes, weights


@compiled(nogil=True)
def _too_few_arrivals(law: np.ndarray, k: int, time: float) -> float:
    """Probability that fewer than k tokens have arrived by ``time``."""
    exactly = np.zeros(k)
    exactly[0] = 1.0
    for q in law:
        stay = math.exp(-q * time)
        for j in range(k - 1, 0, -1):
            exactly[j] = exactly[j] * stay + exactly[j - 1] * (1.0 - stay)
        exactly[0] *= stay
    return exactly.sum()


@compiled(fastmath={"contract", "arcp", "reassoc", "nsz"})
def _add_block(
    law: np.ndarray,
    order: np.ndarray,
    stay: np.ndarray,
    nodes: np.ndarray,
    weights: np.ndarray,
    counts: np.ndarray,
    above: np.ndarray,
    bases: np.ndarray,
) -> None:
    """Add one block of nodes to ``bases``, ``(len(counts), V)`` by token; ``above`` is scratch."""
    size, k = order.shape[0], counts.max()
    # Chance that nothing ranked above has arrived, times the weight; from the top down.
    for n in range(LANES):
        above[size - 1, n] = weights[n]
    for i in range(size - 2, -1, -1):
        token = order[i + 1]
        for n in range(LANES):
            above[i, n] = above[i + 1, n] * stay[token, n]
    at_most = np.ones((k + 1, LANES))  # row j: at most j - 1 of the tokens so far have arrived
    at_most[0, :] = 0.0
    tail = 0.0
    masses = np.empty(size)  # draft mass ranked above, summed from the far end
    for i in range(size - 1, -1, -1):
        masses[i] = tail
        tail += law[order[i]]
    for i in range(size):
        token = order[i]
        q, r = law[token], masses[i]
        if q <= 0.0:
            continue
        for c in range(counts.shape[0]):
            few, fewer = at_most[counts[c]], at_most[counts[c] - 1]
            added = 0.0
            for n in range(LANES):
                s = stay[token, n]
                added += above[i, n] * (q * s * few[n] - r * (1.0 - s) * fewer[n])
            bases[c, token] += added
        for j in range(k, 0, -1):
            for n in range(LANES):
                s = stay[token, n]
                at_most[j, n] = at_most[j, n] * s + at_most[j - 1, n] * (1.0 - s)


@compiled(nogil=True)
def _settle(law: np.ndarray, order: np.ndarray, counts: np.ndarray, bases: np.ndarray) -> None:
    """Put what is known exactly: nothing below 0, and fewer than k tokens hold no k drafts."""
    for c in range(counts.shape[0]):
        possible = 0
        for token in order:
            if law[token] > 0.0:
                possible += 1
            if possible < counts[c] or bases[c, token] < 0.0:
                bases[c, token] = 0.0
