"""Laws held as raw logits and a few numbers a row; probabilities are computed where they are read.

A rule reads the laws at a handful of drafted tokens and, where all drafts fail, one row in full.
So a row is kept as its logits with the largest one, the sum of its kept weights and, if it is
truncated, the place where it is cut.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from spectheory.errors import InputError, ShapeError

SHORTLIST = 1024
"""Tokens that a nucleus is first sought among; most are far smaller, and a sort is slow."""

_CHUNK = {"cpu": 1 << 17}
"""Most weights that are held at once while rows are summed: by device, what its caches hold."""


class Laws(Protocol):
    """Rows of next-token laws, ``(..., V)``."""

    @property
    def shape(self) -> torch.Size: ...

    def __getitem__(self, rows: object) -> Laws:
        """The laws at an index into the leading axes."""
        ...

    def at(self, tokens: Tensor) -> Tensor:
        """``(..., k)`` probability of each of ``(..., k)`` tokens."""
        ...

    def dense(self) -> Tensor:
        """``(..., V)`` probabilities."""
        ...


@dataclass(frozen=True)
class DenseLaws:
    """Laws given by their probabilities, such as those a draft was declared with.

    Attributes:
        law: ``(..., V)``.
        kept: of each of ``(n, V)`` rows on CPU the tokens that it was cut down to, ascending; None
            where that is not known.

    >>> DenseLaws(torch.tensor([[0.25, 0.75]])).at(torch.tensor([[1, 0]])).tolist()
    [[0.75, 0.25]]
    """

    law: Tensor
    kept: list[np.ndarray] | None = None

    @property
    def shape(self) -> torch.Size:
        """``(..., V)``."""
        return self.law.shape

    @property
    def certain(self) -> list[int] | None:
        """The one token of each row, where it is known that there is no other."""
        if self.kept is None or any(len(tokens) > 1 for tokens in self.kept):
            return None
        return [int(tokens[0]) for tokens in self.kept]

    def __getitem__(self, rows: object) -> DenseLaws:
        return DenseLaws(self.law[rows])

    def at(self, tokens: Tensor) -> Tensor:
        """See `Laws.at`."""
        return self.law.gather(-1, tokens)

    def dense(self) -> Tensor:
        """See `Laws.dense`."""
        return self.law


@dataclass(frozen=True)
class LogitLaws:
    """Laws given by logits; made by `from_logits`.

    A token has the weight ``exp((logit - highest) / temperature)`` if it is kept, that is if its
    logit is above ``threshold``, or equals it with an index of at most ``last``.

    Attributes:
        logits: ``(..., V)``, any real dtype.
        temperature, highest, mass: ``(..., 1)`` in the dtype that probabilities are computed in.
        threshold, last: ``(..., 1)``, or None where nothing is truncated.
    """

    logits: Tensor
    temperature: Tensor
    highest: Tensor
    mass: Tensor
    threshold: Tensor | None = None
    last: Tensor | None = None

    @property
    def shape(self) -> torch.Size:
        """``(..., V)``."""
        return self.logits.shape

    def __getitem__(self, rows: object) -> LogitLaws:
        parts = {f.name: getattr(self, f.name) for f in fields(self)}
        return LogitLaws(
            **{name: None if part is None else part[rows] for name, part in parts.items()}
        )

    def at(self, tokens: Tensor) -> Tensor:
        """See `Laws.at`."""
        return self._weights(self.logits.gather(-1, tokens), tokens) / self.mass

    def dense(self) -> Tensor:
        """See `Laws.dense`."""
        return self._weights(self.logits, self._every()) / self.mass

    def _every(self) -> Tensor:
        return torch.arange(self.logits.shape[-1], device=self.logits.device)

    def _weights(self, logits: Tensor, tokens: Tensor) -> Tensor:
        weights = logits.to(self.highest.dtype, copy=True).sub_(self.highest)
        weights = weights.div_(self.temperature).exp_()
        if self.threshold is None or self.last is None:
            return weights
        kept = (logits > self.threshold) | ((logits == self.threshold) & (tokens <= self.last))
        return weights.masked_fill_(~kept, 0.0)

    def _weighed(self) -> LogitLaws:
        """The same with ``mass`` set: sums in float64, a few rows at a time."""
        rows = self.logits.shape[:-1].numel()
        flat = replace(self, **{name: _rows(part, rows) for name, part in self._parts().items()})
        step = max(1, _CHUNK.get(self.logits.device.type, 1 << 24) // self.logits.shape[-1])
        sums = [
            part._weights(part.logits, part._every()).sum(-1, keepdim=True, dtype=torch.float64)
            for part in (flat[start : start + step] for start in range(0, rows, step))
        ]
        mass = torch.cat(sums).to(self.highest.dtype).reshape(self.highest.shape)
        return replace(self, mass=mass)

    def _parts(self) -> dict[str, Tensor]:
        parts = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: part for name, part in parts.items() if part is not None}


def from_logits(
    logits: Tensor,
    temperature: float | Tensor = 1.0,
    top_k: int | Tensor | None = None,
    top_p: float | Tensor | None = None,
    dtype: torch.dtype = torch.float64,
) -> LogitLaws:
    """The laws of ``(..., V)`` logits after temperature, then top-k, then top-p.

    The same laws as `distributions.from_logits`, `top_k` and `top_p`: ties at a cut go to the lower
    token index.

    Args:
        logits: ``(..., V)``; ``-inf`` masks a token.
        temperature: a number, or a tensor that broadcasts to ``(...)``; 0 is the one-hot law of the
            largest logit.
        top_k, top_p: likewise; None truncates nothing, as do V and 1.
        dtype: of the probabilities; float32 on devices where float64 is slow. Sums are float64.

    Raises:
        ShapeError: no vocabulary axis.
        InputError: a parameter out of range, NaN or ``+inf`` logits, or a row all masked.

    >>> laws = from_logits(torch.tensor([[0.0, 2.0, 1.0, 2.0]]), top_k=1)
    >>> laws.dense().tolist()
    [[0.0, 1.0, 0.0, 0.0]]
    """
    heat, count, nucleus, highest = _checked(logits, temperature, top_k, top_p, dtype)
    size, greedy = logits.shape[-1], heat == 0
    heat, count = heat.masked_fill(greedy, 1.0), count.masked_fill(greedy, 1)
    laws = LogitLaws(logits, heat, highest, torch.ones_like(highest))._weighed()
    if bool((count < size).any()) or bool((nucleus < 1).any()):
        laws = _cut(laws, count, nucleus)._weighed()
    return laws


def greedy(logits: Tensor) -> DenseLaws:
    """The one-hot laws of the largest logits, lowest index on ties: those of temperature 0.

    Raises:
        InputError: NaN or ``+inf`` logits, or a row all masked.

    >>> greedy(torch.tensor([[0.0, 2.0, 1.0, 2.0]])).dense().tolist()
    [[0.0, 1.0, 0.0, 0.0]]
    """
    hot, top = torch.zeros_like(logits, dtype=torch.float64), logits.argmax(-1, keepdim=True)
    _check_tops(logits.gather(-1, top))  # where there is a NaN, it is found there
    on_host = logits.ndim == 2 and logits.device.type == "cpu"
    return DenseLaws(hot.scatter_(-1, top, 1.0), list(top.numpy()) if on_host else None)


def softmax(logits: Tensor, temperature: float | Tensor = 1.0) -> DenseLaws:
    """The untruncated laws of finite-topped logits in float64, all of them made at once.

    On CPU this one fused pass costs less than the sums alone that `from_logits` takes.

    Args:
        logits: ``(n, V)``.
        temperature: a number > 0, or ``(n,)`` of them.

    Raises:
        InputError: NaN or ``+inf`` logits, or a row all masked.

    >>> softmax(torch.tensor([[0.0, 0.0]])).dense().tolist()
    [[0.5, 0.5]]
    """
    scaled = logits.double()
    if isinstance(temperature, Tensor):
        scaled = scaled / temperature[:, None]
    elif temperature != 1:
        scaled = scaled / temperature
    laws = torch.softmax(scaled, -1)
    _check_tops(laws[:, :1])  # any of these makes all of a row NaN
    return DenseLaws(laws)


def truncated(
    logits: Tensor,
    temperature: float | Tensor = 1.0,
    top_k: int | Tensor | None = None,
    top_p: float | Tensor | None = None,
) -> DenseLaws:
    """The laws of `from_logits` in float64, made at once: on CPU in a fraction of the time.

    Bit for bit those of `distributions.from_logits`, `top_k` and `top_p` on the same rows.

    Args:
        logits: ``(n, V)`` on CPU.
        temperature, top_k, top_p: as for `from_logits`.

    Raises:
        ShapeError, InputError: as `from_logits`.

    >>> truncated(torch.tensor([[0.0, 2.0, 2.0]]), top_p=0.5).dense().tolist()
    [[0.0, 0.5, 0.5]]
    """
    from spectheory.kernels.truncation import keep_count, keep_mass, scaled

    size = _vocabulary(logits)
    given = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
    none = {"temperature": 1.0, "top_k": size, "top_p": 1.0}
    each = [_each(name, value, none[name], len(logits)) for name, value in given.items()]
    tops = logits.amax(-1)
    _check_tops(tops)
    rows = logits if logits.dtype == torch.float64 else logits.float()
    laws, kept = torch.empty(logits.shape, dtype=torch.float64), list[np.ndarray]()
    for law, row, top, heat, count, nucleus in zip(laws, rows, tops.tolist(), *each, strict=True):
        mass = law.numpy()
        if not heat:
            kept.append(row.argmax(-1, keepdim=True).numpy())
            law.zero_()[kept[-1]] = 1.0
            continue
        scaled(row.numpy(), top, heat, mass)
        law.exp_()
        law.div_(law.sum())
        tokens = None
        if count < size:
            tokens = keep_count(mass, int(count))
            mass[tokens] /= float(law.sum())
        if nucleus < 1:
            tokens = keep_mass(mass, nucleus)
            mass[tokens] /= float(law.sum())
        if tokens is not None:
            kept.append(np.sort(tokens))
    return DenseLaws(laws, kept if len(kept) == len(laws) else None)


RANGES: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "temperature": ("numbers >= 0", lambda value: value >= 0),
    "top_k": ("integers >= 1", lambda value: value >= 1),
    "top_p": ("numbers in (0, 1]", lambda value: (value > 0) & (value <= 1)),
}
"""What the parameters of sampling may be."""


def _check_range(name: str, value: float | Tensor) -> None:
    expected, holds = RANGES[name]
    inside = holds(value)
    if not (bool(inside.all()) if isinstance(inside, Tensor) else inside):
        worst = value[~inside][0].item() if isinstance(value, Tensor) else value
        raise InputError(f"`{name}` is {worst:g}; expected {expected}")


def _each(name: str, value: float | Tensor | None, none: float, rows: int) -> list[float]:
    """A parameter of each row."""
    value = none if value is None else value
    _check_range(name, value)
    if isinstance(value, Tensor):
        return list(value.expand(rows).tolist())
    return [value] * rows


def _vocabulary(logits: Tensor) -> int:
    if logits.ndim < 1 or not logits.shape[-1]:
        raise ShapeError(f"`logits` has shape {tuple(logits.shape)}; expected (..., V) with V >= 1")
    return logits.shape[-1]


def _check_tops(highest: Tensor) -> None:
    if not bool(torch.isfinite(highest).all()):
        raise InputError("`logits` holds NaN or +inf, or a row where every token is masked")


def _checked(
    logits: Tensor,
    temperature: float | Tensor,
    top_k: int | Tensor | None,
    top_p: float | Tensor | None,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Temperature, count, nucleus and largest logit, each ``(..., 1)``; see `from_logits`."""
    size = _vocabulary(logits)

    def each(name: str, value: float | Tensor, kind: torch.dtype) -> Tensor:
        given = torch.as_tensor(value, dtype=kind, device=logits.device)
        _check_range(name, given)
        return given[..., None].expand(*logits.shape[:-1], 1)

    heat = each("temperature", temperature, dtype)
    count = each("top_k", size if top_k is None else top_k, torch.int64)
    nucleus = each("top_p", 1.0 if top_p is None else top_p, torch.float64)
    highest = logits.amax(-1, keepdim=True).to(dtype)
    _check_tops(highest)
    return heat, count.clamp(max=size), nucleus, highest


def _cut(laws: LogitLaws, count: Tensor, nucleus: Tensor) -> LogitLaws:
    """Truncate to ``count`` tokens, then to the shortest top list with ``nucleus`` of the rest."""
    logits, size = laws.logits, laws.logits.shape[-1]
    limited = count < size
    width = int(torch.where(limited, count, 1).max())
    if bool((nucleus < 1).any()):
        width = max(width, SHORTLIST)
    while True:
        width = min(width, size)
        top = logits.topk(width, dim=-1).values
        rank = torch.arange(width, device=logits.device)
        weights = replace(laws, threshold=None)._weights(top, rank).double()
        weights = weights * (rank < count)
        mass = torch.where(limited, weights.sum(-1, keepdim=True), laws.mass.double())
        through = (weights / mass).cumsum(-1)  # of probabilities: rounding decides between ties
        before = torch.cat([torch.zeros_like(through[..., :1]), through[..., :-1]], -1)
        inside = (before < nucleus) | (nucleus == 1)
        found = ~inside[..., -1:] | (count <= width) | (nucleus == 1)
        if width == size or bool(found.all()):
            break
        width *= 8
    kept = torch.where(nucleus == 1, count, inside.sum(-1, keepdim=True)).minimum(count)
    whole = kept > width  # a row that nothing is cut from, beside others
    lowest = top.gather(-1, kept.clamp(max=width) - 1).masked_fill(whole, -torch.inf)
    ties = kept - (logits > lowest).sum(-1, keepdim=True)
    last = ((logits == lowest).cumsum(-1) < ties).sum(-1, keepdim=True)
    return replace(laws, threshold=lowest, last=last.masked_fill(whole, size))


def _rows(part: Tensor, rows: int) -> Tensor:
    return part.reshape(rows, part.shape[-1])
