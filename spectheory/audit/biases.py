"""Output laws at a stated distance from the target, one a kind of bias that engines have had."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.optimize import brentq

from spectheory.distributions import descending, temper, total_variation
from spectheory.errors import InputError, UnknownName

SINGLE_RANK = 50
"""Rank, from 0, of the token that `token` makes too frequent."""


def biased_law(
    target: np.ndarray, draft: np.ndarray | None, direction: str, bias: float
) -> np.ndarray:
    """The law at total variation ``bias`` from the target, in a direction of `DIRECTIONS`.

    Args:
        target: ``(V,)`` float64.
        draft: ``(V,)``, needed for the direction ``draft``.
        direction: the kind of bias.
        bias: total variation.

    Raises:
        UnknownName: no such direction.
        InputError: the target allows no bias of that size in this direction.

    >>> p, q = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5])
    >>> biased_law(p, q, "draft", 0.03).round(3).tolist()
    [0.47, 0.3, 0.23]
    """
    if direction not in DIRECTIONS:
        raise UnknownName(f"no direction `{direction}`; there are {', '.join(DIRECTIONS)}")
    if not bias > 0:
        raise InputError(f"`bias` is {bias}; expected a total variation above 0")
    if draft is None:
        if direction == "draft":
            raise InputError("`direction` is draft, which needs `draft`")
        draft = target
    law = DIRECTIONS[direction](target, draft, bias)
    if law.min() < 0 or abs(float(total_variation(target, law)) - bias) > 1e-6 * bias:
        raise InputError(
            f"no law is {bias:.3g} from this target in direction `{direction}`; ask for less"
        )
    return law


def _draft(target: np.ndarray, draft: np.ndarray, bias: float) -> np.ndarray:
    """A share of the outputs are drafts: u fixed at 0 now and then, a residual too wide."""
    apart = float(total_variation(target, draft))
    if bias > apart:
        return target
    return target + (draft - target) * (bias / apart)


def _random(target: np.ndarray, draft: np.ndarray, bias: float) -> np.ndarray:
    """Every probability is off by the same factor, up or down by a coin of fixed seed."""
    signs = np.random.default_rng(0).choice([-1.0, 1.0], target.size)
    step = target * (signs - (target * signs).sum())
    size = 0.5 * float(np.abs(step).sum())
    return target + step * (bias / size if size > 0 else 0.0)


def _temperature(target: np.ndarray, draft: np.ndarray, bias: float) -> np.ndarray:
    """A temperature below 1."""

    def excess(temperature: float) -> float:
        return float(total_variation(target, temper(target, temperature))) - bias

    if excess(0.05) < 0:
        return target
    return np.asarray(temper(target, float(brentq(excess, 0.05, 1.0, xtol=1e-14))))


def _tail(target: np.ndarray, draft: np.ndarray, bias: float) -> np.ndarray:
    """The least likely tokens are lost, as to noise of low precision; the last one in part."""
    order = descending(target)[::-1]
    below = np.cumsum(target[order]) - target[order]
    law = target.copy()
    law[order] -= np.clip(bias - below, 0.0, target[order])
    kept = target - law
    # What is lost goes to all that is left, in proportion.
    left = np.where(kept > 0, 0.0, target)
    return law + left * (bias / left.sum() if left.any() else 0.0)


def _top(target: np.ndarray, draft: np.ndarray, bias: float) -> np.ndarray:
    """The likeliest token is too frequent."""
    return _towards(target, int(target.argmax()), bias)


def _token(target: np.ndarray, draft: np.ndarray, bias: float) -> np.ndarray:
    """One token in the middle of the vocabulary is too frequent."""
    rank = min(SINGLE_RANK, target.size - 1)
    return _towards(target, int(descending(target)[rank]), bias)


def _towards(target: np.ndarray, token: int, bias: float) -> np.ndarray:
    rest = 1 - target[token]
    law = target * (1 - bias / rest if rest > 0 else 1.0)
    law[token] = target[token] + bias
    return law


DIRECTIONS: dict[str, Callable[[np.ndarray, np.ndarray, float], np.ndarray]] = {
    "draft": _draft,
    "random": _random,
    "temperature": _temperature,
    "tail": _tail,
    "top": _top,
    "token": _token,
}
