"""The few array operations that every rule is written in.

One rule body runs on NumPy float64, on NumPy object arrays of ``Fraction`` (exact), on
array-api-strict and on torch. That works because the body asks its arguments which namespace they
belong to and then stays inside the array-API standard. The helpers here are the places where the
four differ, or where a division by zero would need a branch.
"""

from __future__ import annotations

import importlib
from fractions import Fraction
from typing import Any

import numpy as np

from spectheory.errors import InputError

Array = Any
"""An array of any supported namespace; shapes stand in the docstrings."""


def namespace(*arrays: Array) -> Any:
    """The array-API namespace that the arguments share.

    Raises:
        InputError: the arguments come from different libraries, or are no arrays.

    >>> import numpy as np
    >>> namespace(np.ones(2)).__name__
    'numpy'
    """
    found: Any = None
    for array in arrays:
        if hasattr(array, "__array_namespace__"):
            xp = array.__array_namespace__()
        elif type(array).__module__.partition(".")[0] == "torch":
            xp = importlib.import_module("array_api_compat.torch")
        else:
            raise InputError(
                f"expected an array, got {type(array).__name__}; wrap it in numpy.asarray"
            )
        if found is not None and xp is not found:
            raise InputError(
                f"arrays of two libraries in one call: {found.__name__} and {xp.__name__}"
            )
        found = xp
    return found


def is_exact(array: Array) -> bool:
    """Whether the array holds ``Fraction`` objects, so that comparisons are exact."""
    return isinstance(array, np.ndarray) and array.dtype == object


def positive_part(values: Array) -> Array:
    """``max(values, 0)`` elementwise, staying in the arithmetic of ``values``."""
    return namespace(values).maximum(values, values * 0)


def ratio(numerator: Array, denominator: Array) -> Array:
    """``numerator / denominator`` where the denominator is positive, and 0 elsewhere."""
    xp = namespace(denominator)
    positive = denominator > 0
    quotient = numerator / xp.where(positive, denominator, denominator * 0 + 1)
    return xp.where(positive, quotient, quotient * 0)


def capped_ratio(numerator: Array, denominator: Array) -> Array:
    """``min(1, numerator / denominator)`` without overflow; 1 where both are 0.

    >>> capped_ratio(np.array([0.2, 0.6, 0.1]), np.array([0.4, 0.3, 0.0])).tolist()
    [0.5, 1.0, 1.0]
    """
    xp = namespace(numerator, denominator)
    below = numerator < denominator
    one = denominator * 0 + 1
    return xp.where(below, numerator, one) / xp.where(below, denominator, one)


def total(values: Array) -> Array:
    """Sum over the last axis, kept as an axis of length 1."""
    return namespace(values).sum(values, axis=-1, keepdims=True)


def running_sum(values: Array) -> Array:
    """Sum over the last axis up to each entry, floats in float64.

    Over 100,000 tokens a running sum in float32 loses whole tokens.

    >>> running_sum(np.array([0.25, 0.5], np.float32)).tolist()
    [0.25, 0.75]
    """
    xp = namespace(values)
    return xp.cumulative_sum(values, axis=-1, dtype=None if is_exact(values) else xp.float64)


def sum_before(values: Array) -> Array:
    """Sum over the last axis of what stands before each entry; floats in float64.

    >>> sum_before(np.array([0.25, 0.5, 0.25])).tolist()
    [0.0, 0.25, 0.75]
    """
    through = running_sum(values)
    return namespace(values).concat([through[..., :1] * 0, through[..., :-1]], axis=-1)


def sum_behind(values: Array) -> Array:
    """The same of what stands behind each entry, added up from the end, so that it has its digits.

    >>> sum_behind(np.array([1.0, 2e-20, 1e-20])).tolist()
    [3e-20, 1e-20, 0.0]
    """
    xp = namespace(values)
    return xp.flip(sum_before(xp.flip(values, axis=-1)), axis=-1)


def is_token(tokens: Array, like: Array) -> Array:
    """Boolean mask ``(..., V)`` over ``like``'s vocabulary, true at ``tokens`` (``(...)``)."""
    xp = namespace(like)
    return xp.asarray(tokens)[..., None] == places(like)


def places(like: Array) -> Array:
    """``(V,)`` token ids of ``like``'s vocabulary, in its library and on its device."""
    return namespace(like).arange(like.shape[-1], **device_of(like))


def pick(law: Array, tokens: Array) -> Array:
    """Value of ``law`` (``(..., V)``) at ``tokens`` (``(...)``), batch axes broadcast."""
    xp = namespace(law)
    batch = np.broadcast_shapes(tuple(law.shape[:-1]), tuple(tokens.shape))
    law = xp.broadcast_to(law, (*batch, law.shape[-1]))
    index = xp.broadcast_to(xp.asarray(tokens), batch)[..., None]
    return xp.take_along_axis(law, index, axis=-1)[..., 0]


def without(law: Array, tokens: Array) -> Array:
    """``law`` with the mass at ``tokens`` set to zero; not renormalised."""
    return namespace(law).where(is_token(tokens, law), law * 0, law)


def constant(values: np.ndarray, like: Array) -> Array:
    """A NumPy array (token ids, a mask) as an array of ``like``'s library, on its device."""
    return namespace(like).asarray(values, **device_of(like))


def on_host(values: Array) -> np.ndarray:
    """An array of any library as NumPy's, off whatever device it is on."""
    return np.asarray(values.cpu() if device_of(values) else values)


def number(value: float | Fraction, like: Array) -> float | Fraction:
    """A parameter in the arithmetic of ``like``: a ``Fraction`` beside Fractions, else a float."""
    return Fraction(value) if is_exact(like) else float(value)


def device_of(array: Array) -> dict[str, Any]:
    """The ``device`` keyword for torch tensors; NumPy and array-api-strict need none."""
    return {"device": array.device} if type(array).__module__.startswith("torch") else {}
