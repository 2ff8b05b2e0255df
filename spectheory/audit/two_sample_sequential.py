"""Watch two engines for as long as it takes: a two-sample test that is valid at every look.

Texts come in pairs, one of each engine on the same prompt. A witness function learnt from the pairs
before scores both; under equality the pair could as well have come the other way round, so the
difference of the two scores has mean 0 and is a fair bet. Memory does not grow with the pairs.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from spectheory.audit.discrepancy import Discrepancy, check_alpha
from spectheory.audit.martingale import BETS, TestMartingale
from spectheory.audit.string_kernels import PADDING, check_sequences
from spectheory.errors import InputError, ShapeError

BUCKETS = 1 << 16
"""Counters that the features of one witness are hashed into."""

FIRST = 32
"""Pairs before the first bet; afterwards a witness is renewed when they have grown by a fourth."""

PIECE = 1 << 14
"""Pairs whose features are held in memory at once."""

WITNESSES = ("token by place", "pieces of 1", "pieces of 2", "pieces of 3")


class SequentialTwoSample:
    """Anytime-valid test that two engines write from one law.

    The witness of a family of features f is ``g(x) = sum_f log((c_X(f) + 1/2) / (c_Y(f) + 1/2))``
    over the features of text x, with counts c of the pairs before; the score of a pair is
    ``(g(x) - g(y)) / (|g(x) - g(y)| + s)`` with s the root mean square difference
    up to the last renewal. What is found does not depend on how the pairs are cut into pieces.

    Args:
        alpha: false-alarm rate, however often one looks.
        seed: of the hash, so that no text can be written against it.

    Reference: shekhar2023nonparametric; shafer2021testing.

    >>> rng = np.random.default_rng(0)
    >>> audit = SequentialTwoSample()
    >>> audit.update(rng.integers(0, 9, (4_000, 4)), rng.integers(0, 9, (4_000, 4)))
    >>> audit.report().biased
    False
    >>> audit.update(rng.integers(0, 9, (4_000, 4)), rng.integers(1, 9, (4_000, 4)))
    >>> audit.report().biased
    True
    """

    def __init__(self, alpha: float = 1e-3, seed: int = 0) -> None:
        check_alpha(alpha)
        self.alpha = alpha
        self.martingale = TestMartingale(WITNESSES)
        self._salt = np.random.default_rng(seed).integers(1, 2**63, 4, dtype=np.uint64) | np.uint64(
            1
        )
        self._counts = np.zeros((2, len(WITNESSES), BUCKETS))
        self._witness = np.zeros((len(WITNESSES), BUCKETS))
        self._square = np.zeros(len(WITNESSES))
        self._scale = np.zeros(len(WITNESSES))
        self._sum = np.zeros(len(WITNESSES))
        self._renew_at = FIRST

    @property
    def pairs(self) -> int:
        """Pairs seen."""
        return self.martingale.draws

    def update(self, samples: Any, reference: Any) -> None:
        """Take in the next pairs, in any number of pieces.

        Args:
            samples: ``(n, T)`` tokens, a text a row, padded with -1.
            reference: ``(n, T')`` tokens of the other engine; row i on the same prompt.

        Raises:
            ShapeError, InputError: no token arrays, or not in pairs.
        """
        x, y = check_sequences("samples", samples), check_sequences("reference", reference)
        if len(x) != len(y):
            raise ShapeError(
                f"`samples` holds {len(x)} texts and `reference` {len(y)}; expected pairs, row i "
                "of both on one prompt"
            )
        first = 0
        while first < len(x):
            last = min(len(x), first + min(PIECE, self._renew_at - self.pairs))
            self._bet(self._hashed(x[first:last]), self._hashed(y[first:last]))
            first = last
            if self.pairs == self._renew_at:
                self._witness = np.log((self._counts[0] + 0.5) / (self._counts[1] + 0.5))
                self._scale = np.sqrt(self._square / self.pairs)
                self._renew_at += max(FIRST, self.pairs // 4)

    def report(self) -> Discrepancy:
        """What the pairs so far say; ask as often as you like.

        The distance is the mean score of the best witness, between -1 and 1: how well past texts
        tell who wrote the next. ``smallest`` is to leading order, at this many pairs; None where
        no distance would be seen.
        """
        pairs = max(1, self.pairs)
        means = self._sum / pairs
        radius = mixture_radius(pairs, self.alpha / len(WITNESSES))
        best = int(np.argmax(means))
        smallest = math.sqrt(2 * evidence_needed(self.alpha) / pairs) + 2.33 / math.sqrt(pairs)
        return Discrepancy(
            test=f"witness on {WITNESSES[best]}",
            distance=float(means[best]),
            unit="mean score of the witness",
            p_bound=self.martingale.p_bound,
            calibration="anytime",
            draws=(self.pairs, self.pairs),
            alpha=self.alpha,
            smallest=smallest if smallest < 1 and self.pairs > FIRST else None,
            upper=min(1.0, float(means.max() + radius)),
        )

    # -- one piece, with the witness fixed -----------------------------------------------------

    def _bet(self, x: np.ndarray, y: np.ndarray) -> None:
        """Both are ``(n, T, witnesses)`` buckets, -1 for none."""
        gaps = self._score(x) - self._score(y)
        scores = gaps / np.maximum(np.abs(gaps) + self._scale, np.finfo(float).tiny)
        self.martingale.update(scores)
        self._sum += scores.sum(axis=0)
        self._square += (gaps**2).sum(axis=0)
        for side, buckets in enumerate((x, y)):
            for w in range(len(WITNESSES)):
                found = buckets[:, :, w]
                self._counts[side, w] += np.bincount(found[found >= 0], minlength=BUCKETS)

    def _score(self, buckets: np.ndarray) -> np.ndarray:
        """``(n, witnesses)`` values of the witnesses."""
        values = np.stack(
            [self._witness[w][buckets[:, :, w]] for w in range(len(WITNESSES))], axis=-1
        )
        return np.where(buckets >= 0, values, 0.0).sum(axis=1)

    def _hashed(self, tokens: np.ndarray) -> np.ndarray:
        """``(n, T, witnesses)`` bucket of every feature, -1 where the text has none."""
        n, length = tokens.shape
        buckets = np.full((n, length, len(WITNESSES)), -1, dtype=np.int64)
        ids = (tokens + 1).astype(np.uint64)
        place = np.arange(1, length + 1, dtype=np.uint64)
        buckets[:, :, 0] = _bucket(_mixed(ids * self._salt[0] + place * self._salt[3]))
        piece = np.zeros((n, length), dtype=np.uint64)
        for size in range(1, min(3, length) + 1):
            kept = length - size + 1
            piece = _mixed(piece[:, :kept] * self._salt[1] + ids[:, size - 1 :] * self._salt[2])
            buckets[:, :kept, size] = _bucket(piece)
            buckets[:, :kept, size][tokens[:, size - 1 :] == PADDING] = -1
        buckets[:, :, 0][tokens == PADDING] = -1
        return buckets


def evidence_needed(alpha: float) -> float:
    """Nats that the best bet of the best witness needs for the mean wealth to reach 1 / alpha."""
    return -math.log(alpha) + math.log(BETS.size / 2 * len(WITNESSES))


def pairs_to_see(mean: float, deviation: float, alpha: float = 1e-3) -> int:
    """Pairs after which a witness with scores of that mean is expected to have shown it.

    A bet on scores of mean m and deviation s gains ``m^2 / 2 s^2`` nats a pair, to leading order.

    Raises:
        InputError: a mean outside (0, 1], or a deviation that is not positive.

    >>> pairs_to_see(0.05, 0.5)
    2237
    """
    if not 0 < mean <= 1 or not deviation > 0:
        raise InputError(
            f"`mean` and `deviation` are {mean} and {deviation}; expected a mean score in (0, 1] "
            "and a positive deviation"
        )
    return math.ceil(2 * evidence_needed(alpha) * (deviation / mean) ** 2)


def mixture_radius(n: int, alpha: float, tuned_for: int = 10_000) -> float:
    """Half-width, valid at all n together, of the mean of n scores in [-1, 1] about theirs.

    Reference: robbins1970statistical.

    >>> mixture_radius(10_000, 0.01) < mixture_radius(1_000, 0.01)
    True
    """
    ratio = n / tuned_for + 1
    return math.sqrt(2 * ratio * tuned_for / n**2 * math.log(math.sqrt(ratio) * 2 / alpha))


def _mixed(words: np.ndarray) -> np.ndarray:
    """A bijection of 64-bit words after which every bit depends on all (splitmix64)."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = words ^ (words >> np.uint64(31))
    return mixed


def _bucket(words: np.ndarray) -> np.ndarray:
    return (words % np.uint64(BUCKETS)).astype(np.int64)
