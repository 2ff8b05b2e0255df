"""The laws of a sweep: Zipf, Markov and logged, at any temperature and draft quality.

Common random numbers: one target and one noise a position, whatever the temperature and the size of
the noise, so that differences along an axis of the sweep are not differences of draws.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from spectheory.decoding.logged import LoggedLogits
from spectheory.decoding.prompts import spread
from spectheory.distributions import from_logits

ZIPF, MARKOV = "zipf", "markov"
"""Names of the synthetic sources; any other is a file of ``spectheory logits``."""


class Laws(NamedTuple):
    """Positions with their weights.

    Attributes:
        target: ``(n, V)``.
        slots: ``(n, k, V)``, one draft law a slot; slot 0 is the draft of schemes with one law.
        weight: ``(n,)``, sums to 1.
    """

    target: np.ndarray
    slots: np.ndarray
    weight: np.ndarray


def zipf_logits(size: int, positions: int, slots: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Target logits ``(n, V)``, ranks by a power law of exponent 1.5 with noise, and unit noise.

    The noise is ``(n, slots, V)``; times a quality and added, it gives draft logits.
    """
    rng = np.random.default_rng([seed, size])
    logits = -1.5 * np.log(np.arange(size) + 3.0) + rng.normal(size=(positions, size))
    return rng.permuted(logits, axis=1), rng.normal(size=(positions, slots, size))


def markov_logits(size: int, slots: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits ``(V, V)`` of a chain whose states differ in entropy, and unit noise.

    Row s has normal logits times a scale of its own, evenly spread in the logarithm from 0.5 (hard
    to guess) to 4 (nearly certain).
    """
    rng = np.random.default_rng([seed, size, 1])
    scale = np.geomspace(0.5, 4.0, size)[:, None]
    return scale * rng.normal(size=(size, size)), rng.normal(size=(size, slots, size))


def stationary(transition: np.ndarray) -> np.ndarray:
    """``(V,)`` stationary law of a chain with one closed class.

    >>> stationary(np.array([[0.5, 0.5], [0.25, 0.75]])).round(12).tolist()
    [0.333333333333, 0.666666666667]
    """
    size = len(transition)
    equations = np.vstack([transition.T - np.eye(size), np.ones(size)])
    law = np.linalg.lstsq(equations, np.append(np.zeros(size), 1.0), rcond=None)[0]
    law = np.maximum(law, 0)
    return np.asarray(law / law.sum())


@lru_cache(maxsize=4)
def logged_file(path: str) -> LoggedLogits:
    """The logged logits; a process that works on many cells reads them once."""
    return LoggedLogits.load(Path(path))


@lru_cache(maxsize=2)
def laws(
    source: str,
    quality: str,
    temperature: float,
    *,
    sizes: tuple[int, int],
    positions: int,
    slots: int,
    seed: int,
) -> Laws:
    """The laws of one setting.

    Args:
        source: `ZIPF`, `MARKOV` or a file.
        quality: standard deviation of the draft's noise in logits, or the draft's name in the file;
            slots after the first then cycle through the file's drafts.
        temperature: of target and drafts.
        sizes: vocabulary of the Zipf laws and of the chain.
        positions: Zipf laws, or rows of the file, evenly apart. A chain has one position a state,
            with the stationary law of the target for weights.
        slots: draft laws wanted.
        seed: of logits and noise.
    """
    if source not in (ZIPF, MARKOV):
        logged = logged_file(source)
        names = list(logged.drafts)
        first = names.index(quality)
        cycle = [names[(first + i) % len(names)] for i in range(slots)]
        rows = spread(len(logged.target), positions)
        target = from_logits(logged.target[rows], temperature)
        drafts = {name: from_logits(logged.drafts[name][rows], temperature) for name in names}
        n = len(target)
        return Laws(target, np.stack([drafts[c] for c in cycle], axis=1), np.full(n, 1 / n))
    if source == ZIPF:
        logits, noise = zipf_logits(sizes[0], positions, slots, seed)
    else:
        logits, noise = markov_logits(sizes[1], slots, seed)
    target = from_logits(logits, temperature)
    drafts = from_logits(logits[:, None] + float(quality) * noise, temperature)
    weight = stationary(target) if source == MARKOV else np.full(len(target), 1 / len(target))
    return Laws(target, drafts, weight)
