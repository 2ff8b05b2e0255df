"""Draws from rows of masses by inverse transform, the vocabulary taken a tile at a time."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

TILE = 512
"""Tokens that are summed together before the first search."""


def draw(mass: Tensor, uniforms: Tensor) -> Tensor:
    """Token whose interval of the cumulative mass holds the uniform; never one of mass zero.

    The draw of `verdict.inverse_transform` in two steps: the tile, then the token in it by what is
    left of the uniform. Sums are float64.

    Args:
        mass: ``(n, V)``, non-negative, each row with some mass.
        uniforms: ``(n,)`` float64 in [0, 1).

    Returns:
        ``(n,)`` int64.

    >>> draw(torch.tensor([[0.0, 0.25, 0.75, 0.0]]).expand(3, 4), torch.tensor([0.0, 0.3, 0.999]))
    tensor([1, 2, 2])
    """
    if mass.device.type == "cpu":  # torch's calls on a few numbers take longer than these sums
        from spectheory.kernels.tile_draws import tile_draws

        tokens = torch.empty(len(mass), dtype=torch.int64)
        tile_draws(mass.numpy(), uniforms.double().numpy(), TILE, tokens.numpy())
        return tokens
    return draw_in_torch(mass, uniforms)


def draw_in_torch(mass: Tensor, uniforms: Tensor) -> Tensor:
    """`draw` on any device."""
    short = -mass.shape[-1] % TILE
    tiles = (pad(mass, (0, short)) if short else mass).unflatten(-1, (-1, TILE))
    through = tiles.sum(-1, dtype=torch.float64).cumsum(-1)
    goal = uniforms.double()[:, None] * through[:, -1:]
    tile = _first_above(through, goal)
    before = torch.where(tile > 0, through.gather(-1, (tile - 1).clamp(min=0)), 0.0)
    inside = tiles[torch.arange(len(mass), device=mass.device), tile[:, 0]]
    token = _first_above(inside.cumsum(-1, dtype=torch.float64), goal - before)
    return (tile * TILE + token)[:, 0]


def on_host(law: Tensor) -> bool:
    """Whether a law is what compiled code takes: of doubles, on CPU."""
    return law.device.type == "cpu" and law.dtype == torch.float64


def few(values: Any) -> Any:
    """A few numbers as an array if they are on CPU: torch's calls on them take ten times as long.

    >>> few(torch.ones(2)).tolist()
    [1.0, 1.0]
    """
    return values.numpy() if isinstance(values, Tensor) and values.device.type == "cpu" else values


def or_target(mass: Tensor, target: Tensor) -> Tensor:
    """``mass`` where a row has any, else the target's row: the convention for empty residuals."""
    some = mass.amax(-1, keepdim=True) > 0
    return mass if bool(some.all()) else torch.where(some, mass, target)


def _first_above(through: Tensor, goal: Tensor) -> Tensor:
    """``(n, 1)`` first entry above the goal; where rounding leaves none, the last to add mass."""
    above = (through <= goal).sum(-1, keepdim=True)
    return above.minimum((through < through[:, -1:]).sum(-1, keepdim=True))
