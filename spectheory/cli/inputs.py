"""Target and draft laws from ``.npy`` files, as float64 with a position axis."""

from __future__ import annotations

import argparse
import tokenize
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spectheory.cli.output import note
from spectheory.distributions import (
    MASS_TOLERANCE,
    check_pmf,
    check_same_vocabulary,
    from_logits,
    temper,
    top_k,
    top_p,
)
from spectheory.drafting.scheme import DraftScheme, scheme
from spectheory.errors import DistributionError, InputError, ShapeError

MAGIC = b"\x93NUMPY"
CLOSE = 0.01
"""How far from 1 a sum may be for ``--renormalise``; further off, the file holds something else."""


@dataclass(frozen=True)
class Pair:
    """Laws at n positions.

    Attributes:
        target: ``(n, V)`` float64.
        draft: ``(n, V)``, or ``(n, k, V)`` for a per-slot scheme.
        scheme: how the drafts are drawn.
        k: number of drafts.
        single: whether the files held one position without a position axis.
    """

    target: np.ndarray
    draft: np.ndarray
    scheme: DraftScheme
    k: int
    single: bool


def load_pair(options: argparse.Namespace) -> Pair:
    """The pair that the arguments of `add_pair` describe.

    Raises:
        InputError: whatever is wrong with the files, their shapes or k; the message says which.
    """
    law = scheme(options.scheme)
    target, draft = (
        as_law(name, load_array(name, path), options)
        for name, path in (("target", options.target), ("draft", options.draft))
    )
    check_same_vocabulary(target, draft)
    single = target.ndim == 1
    expected = target.shape[:-1] + ((options.k,) if law.per_slot else ())
    if target.ndim > 2 or draft.shape[:-1] != expected:
        raise ShapeError(
            f"`target` has shape {target.shape} and `draft` {draft.shape}; scheme `{law.key}` with "
            f"k = {options.k} needs " + _expectation(law, options.k)
        )
    law.check(draft, options.k)
    if single:
        target, draft = target[None], draft[None]
    return Pair(target, draft, law, options.k, single)


def load_array(name: str, path: Path) -> np.ndarray:
    """The array of a ``.npy`` file.

    Raises:
        InputError: no such file, not a ``.npy`` file, damaged, or not numbers.
    """
    try:
        with open(path, "rb") as handle:
            start = handle.read(len(MAGIC))
        if start != MAGIC:
            hint = " (a .npz archive? save one array with numpy.save)" if start[:2] == b"PK" else ""
            raise InputError(f"`{name}` {path} is not a .npy file{hint}")
        values = np.load(path, allow_pickle=False)
    except OSError as error:
        raise InputError(f"`{name}` {path}: {error.strerror or error}") from error
    except (ValueError, EOFError, SyntaxError, tokenize.TokenError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"`{name}` {path} cannot be read: {error}") from error
    if values.dtype.kind not in "fiu":
        raise InputError(f"`{name}` {path} holds {values.dtype}; expected real numbers")
    if values.ndim < 1 or values.size == 0:
        raise ShapeError(f"`{name}` {path} has shape {values.shape}; expected (V,) or (n, V)")
    return values


@np.errstate(over="ignore", invalid="ignore")  # sums of what is refused, with its own message
def as_law(name: str, values: np.ndarray, options: argparse.Namespace) -> np.ndarray:
    """Float64 laws from what a file held, with the sampling parameters applied."""
    if options.logits:
        if _is_pmf(values):
            raise DistributionError(
                f"`{name}` holds probabilities already (no entry below 0, rows sum to 1); "
                "leave out --logits"
            )
        law = from_logits(values, options.temperature)
    else:
        law = temper(_probabilities(name, values, options.renormalise), options.temperature)
    if options.top_k is not None:
        law = top_k(law, options.top_k)
    if options.top_p is not None:
        law = top_p(law, options.top_p)
    return law


def _probabilities(name: str, values: np.ndarray, renormalise: bool) -> np.ndarray:
    widened = values.astype(np.float64) if values.dtype.kind == "f" else values
    sums = widened.sum(axis=-1, keepdims=True)
    off = float(np.max(np.abs(sums - 1)))  # NaN compares false below and is refused by check_pmf
    usable = widened.dtype == np.float64 and values.dtype.itemsize >= 4 and widened.min() >= 0
    if usable and renormalise and off <= CLOSE:
        return widened / sums
    if usable and values.dtype == np.float32 and off <= MASS_TOLERANCE["float32"]:
        note(
            f"`{name}` is float32 and sums to 1 within {off:.1g}; widened to float64 and divided "
            "by its sum"
        )
        return widened / sums
    try:
        return check_pmf(name, widened if usable else values)
    except DistributionError as error:
        hint = ""
        if "logits" in str(error):
            hint = " (then add --logits)"
        if usable and off <= CLOSE:
            hint += f" Off by {off:.2g}: --renormalise divides by the sum."
        raise DistributionError(f"{error}{hint}") from error


def _is_pmf(values: np.ndarray) -> bool:
    sums = values.sum(axis=-1, dtype=np.float64)
    return bool(values.min() >= 0 and np.all(np.abs(sums - 1) <= MASS_TOLERANCE["float32"]))


def _expectation(law: DraftScheme, k: int) -> str:
    if law.per_slot:
        return f"(V,) and ({k}, V), or (n, V) and (n, {k}, V)"
    return "two laws of one shape, (V,) or (n, V)"
