"""Random and hard target/draft pairs, and oracles that share no code with the library."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

import numpy as np

SCHEMES = ("iid", "without_replacement", "distinct", "greedy", "heterogeneous")
KINDS = ("dense", "peaked", "sparse", "tied", "one_hot_target", "few_drafts", "equal", "disjoint")


class Instance(NamedTuple):
    kind: str
    target: np.ndarray
    draft: np.ndarray
    k: int
    scheme: str


def instances(
    count: int, seed: int, schemes: tuple[str, ...] = SCHEMES, most_tokens: int = 6, most_k: int = 3
) -> Iterator[Instance]:
    """``count`` instances; every scheme meets every kind."""
    rng = np.random.default_rng(seed)
    for i in range(count):
        scheme = schemes[i % len(schemes)]
        kind = KINDS[(i // len(schemes)) % len(KINDS)]
        size = int(rng.integers(2, most_tokens + 1))
        k = int(rng.integers(1, most_k + 1))
        if scheme in ("without_replacement", "distinct", "greedy"):
            k = min(k, size)
        slots = k if scheme == "heterogeneous" else 1
        target, *laws = (_law(rng, kind, size) for _ in range(slots + 1))
        least = k if scheme in ("without_replacement", "distinct", "greedy") else 1
        if kind == "one_hot_target":
            target = np.eye(size)[rng.integers(size)]
            laws = [_law(rng, "dense", size) for _ in laws]
        elif kind == "few_drafts":  # one-hot where the scheme allows it
            few = np.zeros(size)
            few[rng.permutation(size)[:least]] = 1 / least
            laws = [few for _ in laws]
            target = _law(rng, "dense", size)
        elif kind == "equal":
            laws = [target for _ in laws]
        elif kind == "disjoint":
            cut = max(least, 1)
            if cut < size:
                laws = [_padded(_law(rng, "dense", cut), size) for _ in laws]
                target = _padded(_law(rng, "dense", size - cut), size)[::-1]
        if any((law > 0).sum() < least for law in laws):
            laws = [_law(rng, "dense", size) for _ in laws]
        draft = np.stack(laws) if scheme == "heterogeneous" else laws[0]
        yield Instance(kind, target, draft, k, scheme)


def fractions(law: np.ndarray, grid: int = 24) -> np.ndarray:
    """A law of Fractions near ``law``; positive entries stay positive."""
    counts = np.where(law > 0, np.maximum(np.round(law * grid), 1), 0).astype(int)
    sums = np.broadcast_to(counts.sum(axis=-1, keepdims=True), counts.shape)
    flat = [Fraction(int(c), int(s)) for c, s in zip(counts.flat, sums.flat, strict=True)]
    return np.array(flat, dtype=object).reshape(law.shape)


def least_bound(target, tuples, probability):
    """``1 + min over all subsets of p(H) - P(every draft in H)``, by listing subsets."""
    best = None
    for members in itertools.product((False, True), repeat=len(target)):
        inside = [all(members[x] for x in row) for row in tuples.tolist()]
        value = (
            1
            + sum(p for p, m in zip(target, members, strict=True) if m)
            - sum(w for w, i in zip(probability, inside, strict=True) if i)
        )
        best = value if best is None else min(best, value)
    return best


def coverage(members, tuples, probability):
    """``P(some draft lies in the subset)``."""
    return sum(
        w
        for row, w in zip(tuples.tolist(), probability, strict=True)
        if any(members[x] for x in row)
    )


def zipf_pair(size: int, noise: float, temperature: float, seed: int, slots: int | None = None):
    """Target and draft from Zipf-like logits, the draft's with noise; neither is sorted."""
    rng = np.random.default_rng(seed)
    logits = -1.2 * np.log(rng.permutation(size) + 1.0)
    shape = (size,) if slots is None else (slots, size)
    return _softmax(logits / temperature), _softmax(
        (logits + noise * rng.normal(size=shape)) / temperature
    )


def _softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def _law(rng: np.random.Generator, kind: str, size: int) -> np.ndarray:
    if kind == "peaked":
        return rng.dirichlet(np.full(size, 0.15)) * (1 - 1e-6) + 1e-6 / size
    if kind in ("sparse", "tied"):
        counts = rng.integers(0, 3 if kind == "tied" else 7, size)
        if kind == "sparse":
            counts[rng.uniform(size=size) < 0.4] = 0
        counts[rng.integers(size)] += 1
        return counts / counts.sum()
    return rng.dirichlet(np.ones(size))


def _padded(law: np.ndarray, size: int) -> np.ndarray:
    return np.concatenate([law, np.zeros(size - len(law))])
