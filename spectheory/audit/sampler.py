"""What the audit calls a sampler, and how it is called, checked and loaded.

A sampler is any callable ``sampler(target, draft, n, seed)``: it returns n independent output
tokens for one position as an integer array, or a pair ``(tokens, accepted)`` with one boolean a
draw that says whether a draft was accepted. All its randomness must come from ``seed``, a fresh
integer at every call.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from spectheory.errors import InputError, SamplerFailure

Sampler = Callable[[np.ndarray, np.ndarray | None, int, int], Any]
"""``sampler(target (V,), draft (V,) or None, n, seed)``."""


class Draws(NamedTuple):
    """What one call of a sampler gave.

    Attributes:
        tokens: ``(n,)`` int64.
        accepted: ``(n,)`` bool, or None if the sampler does not say.
    """

    tokens: np.ndarray
    accepted: np.ndarray | None


def draw(
    sampler: Sampler, target: np.ndarray, draft: np.ndarray | None, n: int, seed: int
) -> Draws:
    """Call a sampler once and refuse what is not n tokens of the vocabulary.

    It gets copies of the laws: engines' functions overwrite them in place.

    Args:
        target: ``(V,)`` float64.
        draft: ``(V,)`` float64, or None.
        n: how many draws.
        seed: of this call.

    Raises:
        SamplerFailure: it raised, or returned something else than the protocol says.

    >>> p, q = np.array([0.5, 0.5]), np.array([0.9, 0.1])
    >>> draws = draw(rejection_sampler, p, q, 1000, seed=0)
    >>> draws.tokens.shape, draws.accepted.dtype
    ((1000,), dtype('bool'))
    """
    try:
        returned = sampler(target.copy(), None if draft is None else draft.copy(), n, seed)
    except (Exception, SystemExit) as error:  # an exit must not pass for the audit's own
        raise SamplerFailure(
            f"the sampler raised {type(error).__name__} at n = {n}, seed = {seed}: {error}"
        ) from error
    parts = returned if isinstance(returned, tuple) else (returned, None)
    if len(parts) != 2:
        raise SamplerFailure(
            f"the sampler returned a tuple of {len(parts)} parts; expected tokens, or "
            "(tokens, accepted)"
        )
    tokens, accepted = parts
    values = _one_row("tokens", tokens, n)
    if values.dtype.kind not in "iu":
        raise SamplerFailure(
            f"the sampler returned tokens of dtype {values.dtype}; expected integer token ids"
        )
    lowest, highest = int(values.min()), int(values.max())
    if lowest < 0 or highest >= target.shape[-1]:
        raise SamplerFailure(
            f"the sampler returned token {lowest if lowest < 0 else highest}; the vocabulary has "
            f"tokens 0 to {target.shape[-1] - 1}. Padding id, or another tokenizer?"
        )
    if accepted is None:
        return Draws(values.astype(np.int64), None)
    flags = _one_row("accepted", accepted, n)
    if flags.dtype.kind not in "biu" or not np.isin(flags, (0, 1)).all():
        raise SamplerFailure(
            f"the sampler returned accepted rows of dtype {flags.dtype} that are not all 0 or 1; "
            "expected whether a draft was accepted, one boolean a draw"
        )
    return Draws(values.astype(np.int64), flags.astype(bool))


def rejection_sampler(
    target: np.ndarray, draft: np.ndarray | None, n: int, seed: int
) -> tuple[np.ndarray, np.ndarray] | np.ndarray:
    """The reference: rejection sampling of one draft, law-lossless; plain draws without a draft.

    Reference: leviathan2023fast, Theorem 3.5.

    >>> tokens, accepted = rejection_sampler(np.array([1.0, 0.0]), np.array([0.2, 0.8]), 5, 0)
    >>> tokens.tolist()
    [0, 0, 0, 0, 0]
    """
    rng = np.random.default_rng(seed)
    if draft is None:
        return categorical(target, rng.random(n))
    drafts = categorical(draft, rng.random(n))
    accepted = rng.random(n) * draft[drafts] < target[drafts]
    left = np.maximum(target - draft, 0.0)
    if not left.any():  # p = q: nothing is ever rejected
        return drafts, accepted
    return np.where(accepted, drafts, categorical(left, rng.random(n))), accepted


def categorical(law: np.ndarray, uniforms: np.ndarray) -> np.ndarray:
    """``(n,)`` tokens by inverse transform from one ``(V,)`` law; never one of mass zero.

    ``law`` need not be normalised.

    >>> categorical(np.array([0.0, 0.25, 0.75, 0.0]), np.array([0.0, 0.3, 0.999])).tolist()
    [1, 2, 2]
    """
    cumulative = np.cumsum(law)
    found = np.searchsorted(cumulative, uniforms * cumulative[-1], side="right")
    last = int(np.searchsorted(cumulative, cumulative[-1], side="left"))
    return np.minimum(found, last)


def load_sampler(name: str) -> Sampler:
    """The callable that ``PKG.MODULE:OBJECT`` or ``path/file.py:OBJECT`` names.

    Raises:
        InputError: see `load_object`, or it cannot be called.

    >>> load_sampler("spectheory.audit.sampler:rejection_sampler") is rejection_sampler
    True
    """
    found = load_object(name)
    if not callable(found):
        raise InputError(f"`{name}` is a {type(found).__name__}, not a callable sampler")
    sampler: Sampler = found
    return sampler


def load_object(name: str) -> Any:
    """What ``PKG.MODULE:OBJECT`` or ``path/file.py:OBJECT`` names.

    Modules are looked for in the current folder too, and beside the file.

    Raises:
        InputError: no such module, file or object.
    """
    where, colon, path = name.rpartition(":")
    if not colon or not where or not path:
        raise InputError(
            f"`{name}` names no object; expected PKG.MODULE:OBJECT or path/file.py:OBJECT"
        )
    found: Any = _module(where)
    for part in path.split("."):
        if not hasattr(found, part):
            held = ", ".join(sorted(n for n in vars(found) if not n.startswith("_"))[:12])
            raise InputError(f"`{where}` has no `{path}`; it holds {held or 'nothing public'}")
        found = getattr(found, part)
    return found


def source_digest(name: str) -> str:
    """Tells versions of what `load_object` gives apart, by the file of its module.

    >>> len(source_digest("spectheory.audit.sampler:rejection_sampler"))
    16
    """
    where = name.rpartition(":")[0]
    file = where if _is_file(where) else getattr(_module(where), "__file__", None)
    return "" if file is None else hashlib.sha256(Path(file).read_bytes()).hexdigest()[:16]


def _is_file(where: str) -> bool:
    return where.endswith(".py") or os.sep in where


def _module(where: str) -> ModuleType:
    is_file = _is_file(where)
    beside = str(Path(where).resolve().parent if is_file else Path.cwd())
    if beside not in sys.path:
        sys.path.insert(0, beside)
    try:
        if not is_file:
            return importlib.import_module(where)
        file = Path(where).resolve()
        if not file.is_file():
            raise InputError(f"{where}: no such file")
        spec = importlib.util.spec_from_file_location(f"audited_{file.stem}", file)
        if spec is None or spec.loader is None:
            raise InputError(f"{where}: not a Python file")
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        return module
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        raise InputError(
            f"`{where}` cannot be imported: {type(error).__name__}: {error}"
        ) from error


def _one_row(what: str, values: Any, n: int) -> np.ndarray:
    array = np.asarray(values)
    if array.shape != (n,):
        raise SamplerFailure(
            f"the sampler returned {what} of shape {array.shape}; expected ({n},), one a draw"
        )
    return array
