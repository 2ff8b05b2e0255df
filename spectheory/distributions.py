"""Probability mass functions over a vocabulary: checks, comparisons, sampling parameters.

p = target and q = draft in formulas. Every function takes leading batch axes, and keeps the
arithmetic of its arguments: exact on arrays of ``Fraction``.
"""

from __future__ import annotations

import numpy as np

from spectheory.arrays import (
    Array,
    is_exact,
    namespace,
    places,
    positive_part,
    ratio,
    sum_before,
    total,
)
from spectheory.errors import DistributionError, InputError, ShapeError, VocabularyMismatch

MASS_TOLERANCE = {"float64": 1e-9, "float32": 1e-5}
"""How far a sum may stand from 1, by dtype; a Fraction array must sum to exactly 1."""


def check_pmf(name: str, values: Array) -> Array:
    """Return ``values`` if each row of the last axis is a probability law; refuse it otherwise.

    Args:
        name: how the caller calls this argument; the error names it.
        values: ``(..., V)``, float64, float32 or object (``Fraction``).

    Raises:
        ShapeError: no vocabulary axis, or an empty one.
        DistributionError: NaN, infinite or negative entries, a sum other than 1, or a dtype
            (float16, integers) in which a law cannot be held without bias.

    >>> check_pmf("target", np.array([0.5, 0.25, 0.25])).shape
    (3,)
    """
    xp = namespace(values)
    if values.ndim < 1 or values.shape[-1] == 0:
        raise ShapeError(f"`{name}` has shape {tuple(values.shape)}; expected (..., V) with V >= 1")
    if is_exact(values):
        lowest, sums = min(values.flat), total(values)
        if lowest < 0:
            raise DistributionError(f"`{name}` has a negative entry, {lowest}")
        off = [s for s in sums.flat if s != 1]
        if off:
            raise DistributionError(f"`{name}` sums to {off[0]} over the vocabulary; expected 1")
        return values
    dtype = str(values.dtype).rpartition(".")[2]
    if dtype not in MASS_TOLERANCE:
        raise DistributionError(
            f"`{name}` has dtype {dtype}; expected float64 or float32 probabilities, or an object "
            "array of Fraction (lower precision biases the accept test)"
        )
    sums = total(values)
    lowest, least, most = (
        float(f(v)) for f, v in ((xp.min, values), (xp.min, sums), (xp.max, sums))
    )
    if not (np.isfinite(least) and np.isfinite(most)):  # NaN and infinities reach the sum
        raise DistributionError(f"`{name}` has entries that are NaN or infinite")
    worst = least if abs(least - 1) > abs(most - 1) else most
    if lowest < 0:
        hint = (
            "Did you pass logits?"
            if abs(worst - 1) > 1e-3 or lowest < -1e-3
            else ("Rounding of a difference? Clip and renormalise where it was computed.")
        )
        raise DistributionError(f"`{name}` has a negative entry, {lowest:.6g}. {hint}")
    if abs(worst - 1) > MASS_TOLERANCE[dtype]:
        hint = "Did you pass logits, or probabilities not normalised?"
        raise DistributionError(
            f"`{name}` sums to {worst:.9g} over the vocabulary; expected 1. {hint}"
        )
    return values


def check_same_vocabulary(target: Array, draft: Array) -> None:
    """Refuse a pair whose last axes differ, or that no arithmetic serves.

    Raises:
        InputError: no arrays, arrays of two libraries, or Fractions beside floats.
        VocabularyMismatch: the two models do not share a vocabulary (or one is padded).
    """
    namespace(target, draft)
    if is_exact(target) != is_exact(draft):
        raise InputError(
            f"`target` has dtype {target.dtype} and `draft` {draft.dtype}; Fractions are exact "
            "beside Fractions only. Was one of the two not converted?"
        )
    if 0 in (target.ndim, draft.ndim):
        raise ShapeError(
            f"`target` has shape {tuple(target.shape)} and `draft` {tuple(draft.shape)}; expected "
            "(..., V)"
        )
    if target.shape[-1] != draft.shape[-1]:
        raise VocabularyMismatch(
            f"`target` is over {target.shape[-1]} tokens and `draft` over {draft.shape[-1]}; "
            "both need one vocabulary. Different tokenizers, or one padded?"
        )


def shared_batch(**axes: tuple[int, ...]) -> tuple[int, ...]:
    """What the batch axes of some arguments broadcast to.

    Args:
        axes: batch axes by the argument's name.

    Raises:
        ShapeError: they do not fit together.

    >>> shared_batch(target=(3, 1), draft=(4,))
    (3, 4)
    """
    try:
        return np.broadcast_shapes(*axes.values())
    except ValueError as error:
        named = ", ".join(f"`{name}` {shape}" for name, shape in axes.items())
        raise ShapeError(f"batch axes do not broadcast: {named}") from error


def overlap(target: Array, draft: Array) -> Array:
    """Overlap ``sum_x min(p(x), q(x)) = 1 - TV``: the most that one draft can be accepted.

    Shapes ``(..., V)`` give ``(...)``.

    Reference: leviathan2023fast, Theorem 3.5.

    >>> float(overlap(np.array([0.3, 0.7]), np.array([0.6, 0.4])))
    0.7
    """
    return namespace(target, draft).sum(namespace(target).minimum(target, draft), axis=-1)


def total_variation(target: Array, draft: Array) -> Array:
    """Total variation distance ``sum_x (p(x) - q(x))_+``, a probability.

    >>> float(total_variation(np.array([0.25, 0.75]), np.array([0.5, 0.5])))
    0.25
    """
    return namespace(target, draft).sum(positive_part(target - draft), axis=-1)


def residual(target: Array, draft: Array) -> Array:
    """Residual law ``(p - q)_+ / TV(p, q)``; the target itself where p = q.

    The fallback is the one convention for an empty residual: it is reached with probability 0, and
    a law is returned all the same, so no caller needs a branch.

    Reference: leviathan2023fast, section 2.3.

    >>> residual(np.array([0.3, 0.7]), np.array([0.6, 0.4])).tolist()
    [0.0, 1.0]
    """
    return normalise(positive_part(target - draft), fallback=target)


def normalise(mass: Array, fallback: Array) -> Array:
    """``mass`` divided by its total over the last axis; ``fallback`` where the total is 0."""
    mass_total = total(mass)
    return namespace(mass).where(mass_total > 0, ratio(mass, mass_total), fallback)


def from_logits(logits: Array, temperature: float = 1.0) -> Array:
    """Softmax of ``logits / temperature`` over the last axis, in float64.

    Args:
        logits: ``(..., V)``, any real dtype; ``-inf`` masks a token.
        temperature: > 0; 0 is the one-hot law of the largest logit (lowest index on ties).

    Raises:
        InputError: a negative temperature, NaN or ``+inf`` logits, or a row with no finite logit.

    >>> from_logits(np.array([0.0, 0.0])).tolist()
    [0.5, 0.5]
    """
    xp = namespace(logits)
    logits = xp.astype(logits, xp.float64)
    if not temperature >= 0:
        raise InputError(f"`temperature` is {temperature}; expected a number >= 0")
    highest = xp.max(logits, axis=-1, keepdims=True)
    if not bool(xp.all(xp.isfinite(highest))):
        raise InputError("`logits` holds NaN or +inf, or a row where every token is masked")
    if temperature == 0:
        first = xp.argmax(logits, axis=-1, keepdims=True)
        return xp.astype(places(logits) == first, xp.float64)
    weights = xp.exp((logits - highest) / temperature)
    return weights / total(weights)


def temper(law: Array, temperature: float) -> Array:
    """The law proportional to ``law ** (1 / temperature)``; 0 gives the one-hot law of its mode.

    >>> temper(np.array([0.2, 0.8]), 0.5).round(4).tolist()
    [0.0588, 0.9412]
    """
    xp = namespace(law)
    if temperature == 1:
        return law
    tiny = law <= 0
    logs = xp.log(xp.where(tiny, xp.ones_like(law), law))
    return from_logits(xp.where(tiny, -xp.inf * xp.ones_like(law), logs), temperature)


def top_k(law: Array, k: int) -> Array:
    """The law restricted to its ``k`` most probable tokens and renormalised.

    Exactly ``k`` tokens stay: ties at the boundary go to the lower token index.

    Raises:
        InputError: ``k`` is not a positive integer.

    >>> top_k(np.array([0.2, 0.5, 0.3]), 2).tolist()
    [0.0, 0.625, 0.375]
    """
    if k < 1:
        raise InputError(f"`top_k` is {k}; expected an integer >= 1")
    if k >= law.shape[-1]:
        return law
    rank = rank_descending(law)
    return normalise(namespace(law).where(rank < k, law, law * 0), fallback=law)


def top_p(law: Array, mass: float) -> Array:
    """The law restricted to its nucleus and renormalised.

    The nucleus is the shortest descending prefix whose mass is at least ``mass``; ties are ordered
    by token index, so the nucleus is a definite set.

    Raises:
        InputError: ``mass`` outside (0, 1].

    >>> top_p(np.array([0.2, 0.5, 0.3]), 0.6).tolist()
    [0.0, 0.625, 0.375]
    """
    if not 0 < mass <= 1:
        raise InputError(f"`top_p` is {mass}; expected a number in (0, 1]")
    if mass == 1:
        return law
    xp = namespace(law)
    order = descending(law)
    ranked = xp.take_along_axis(law, order, axis=-1)
    kept_ranked = xp.where(sum_before(ranked) < mass, ranked, ranked * 0)
    back = xp.argsort(order, axis=-1)
    return normalise(xp.take_along_axis(kept_ranked, back, axis=-1), fallback=law)


def descending(law: Array) -> Array:
    """Token indices by descending probability, ties by token index."""
    return namespace(law).argsort(-law, axis=-1, stable=True)


def rank_descending(law: Array) -> Array:
    """Rank of each token (0 = most probable), ties by token index."""
    return namespace(law).argsort(descending(law), axis=-1)


def check_pair(target: Array, draft: Array, names: tuple[str, str] = ("target", "draft")) -> None:
    """Refuse a target/draft pair that is not two laws over one vocabulary.

    Raises:
        DistributionError, ShapeError, VocabularyMismatch: see `check_pmf`.
    """
    check_same_vocabulary(target, draft)
    check_pmf(names[0], target)
    check_pmf(names[1], draft)
