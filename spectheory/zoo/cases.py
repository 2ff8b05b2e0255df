"""Pairs of laws that look like a language model's and its drafter's."""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.optimize import brentq

from spectheory.distributions import from_logits

VOCABULARY = 50_257


@cache
def language_pair(
    size: int = VOCABULARY, entropy: float = 4.5, sigma: float = 1.0, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """A power law over shuffled tokens, and a draft with Gaussian noise in its logits.

    ``p`` of rank r is proportional to ``(r + 2) ** -s``, with s such that the entropy is as asked.

    Args:
        size: V.
        entropy: of the target, in nats.
        sigma: standard deviation of the noise.
        seed: of the order of tokens and the noise.

    Returns:
        Two ``(V,)`` float64 laws, not to be written to.

    >>> p, q = language_pair(1_000)
    >>> round(float(-p @ np.log(p)), 6)
    4.5
    """
    logs = -np.log(np.arange(size) + 2.0)

    def excess(power: float) -> float:
        law = from_logits(power * logs)
        return float(-law @ np.log(law)) - entropy

    rng = np.random.default_rng(seed)
    logits = rng.permutation(brentq(excess, 0.0, 20.0, xtol=1e-14) * logs)
    target = from_logits(logits)
    draft = from_logits(logits + sigma * rng.standard_normal(size))
    for law in (target, draft):
        law.setflags(write=False)
    return target, draft
