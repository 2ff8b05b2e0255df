"""A sequential test of one known law: an e-process, valid however often one looks.

Under the null, that draws are i.i.d. from p, the likelihood ratio of a Dirichlet mixture to p is a
non-negative martingale of mean 1. By Ville's inequality it ever reaches 1/alpha with probability at
most alpha, at whatever time one stops.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy.special import gammaln

from spectheory.distributions import check_pmf
from spectheory.errors import InputError


class Evidence(NamedTuple):
    """What draws say against the null.

    Attributes:
        log_e: largest natural logarithm of the e-process over the looks.
        draws: draws used.
        alpha: declared false-alarm rate.
        impossible: draws that the law gives probability 0; one is proof.
    """

    log_e: float
    draws: int
    alpha: float
    impossible: int

    @property
    def biased(self) -> bool:
        """Whether the null is rejected at the declared rate."""
        return self.impossible > 0 or self.log_e >= -math.log(self.alpha)


def audit_law(
    tokens: np.ndarray, law: np.ndarray, alpha: float, looks: int = 20, prior: float = 0.5
) -> Evidence:
    """Test that tokens are i.i.d. from a known law.

    Args:
        tokens: ``(n,)`` integers in the order drawn.
        law: ``(V,)`` float64.
        alpha: false-alarm rate over all looks together.
        looks: how many evenly spaced times the e-process is evaluated at.
        prior: Dirichlet concentration per token of positive mass.

    Raises:
        InputError: alpha outside (0, 1), or tokens outside the vocabulary.

    Reference: lindon2022anytime, Theorem 2.1.

    >>> rng = np.random.default_rng(0)
    >>> audit_law(rng.integers(0, 2, 4000), np.array([0.5, 0.5]), 1e-6).biased
    False
    >>> audit_law(rng.integers(0, 2, 4000), np.array([0.6, 0.4]), 1e-6).biased
    True
    """
    check_pmf("law", law)
    if not 0 < alpha < 1:
        raise InputError(f"`alpha` is {alpha}; expected a rate in (0, 1)")
    if len(tokens) == 0 or tokens.min() < 0 or tokens.max() >= law.size:
        raise InputError(f"`tokens` must be non-empty and lie in 0..{law.size - 1}")
    support = law > 0
    impossible = int(np.count_nonzero(~support[tokens]))
    column = np.cumsum(support) - 1
    kept = column[tokens[support[tokens]]]
    size, best = int(support.sum()), -math.inf
    logs = np.log(law[support])
    for end in np.unique(np.linspace(0, kept.size, looks + 1).astype(int))[1:]:
        counts = np.bincount(kept[:end], minlength=size)
        mixture = (
            gammaln(prior * size)
            - gammaln(prior * size + end)
            + np.sum(gammaln(prior + counts) - gammaln(prior))
        )
        best = max(best, float(mixture - counts @ logs))
    return Evidence(best, len(tokens), alpha, impossible)


def smallest_bias(size: int, draws: int, alpha: float) -> float:
    """Total-variation bias that `audit_law` is expected to see, to leading order.

    The e-process grows by n KL less ``(V - 1) / 2 log n``; Pinsker turns the KL it needs into a
    total-variation bias. Biases above it are found with probability above about one half, well
    above it (by a half) almost surely.

    >>> round(smallest_bias(5, 40_000, 1e-6), 4)
    0.0209
    """
    needed = -math.log(alpha) + 0.5 * (size - 1) * math.log(draws)
    return math.sqrt(needed / draws / 2)
