"""A drafter made of a target's own parts: some are trained, the rest is shared with the target.

Imports torch: load this module where a model is run.
"""

from __future__ import annotations

import copy
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from spectheory.decoding.early_exit import EarlyExit, final_norm, layer_list, with_layers
from spectheory.decoding.pruned_head import PrunedHead
from spectheory.errors import InputError, SourceUnavailable

if TYPE_CHECKING:
    from spectheory.decoding.transformer import TransformerModel

WEIGHTS = "drafter.safetensors"
CARD = "card.json"
TOKENS = "head.tokens"
"""Key in the weights file under which a pruned head's tokens stand."""


@dataclass(frozen=True)
class Recipe:
    """What of a target a drafter is made of; embedding and head are the target's in any case.

    Attributes:
        layers: the target's layers that the drafter runs, from 0; negative ones count from the
            end.
        rank: None trains copies of those layers and of the final norm. A number leaves the layers
            as they are, shared, and trains a map ``x + U V x`` of that rank and the norm behind
            them: an early exit with an adapter.
        follows: whether each token is read together with the target's state of the token before;
            see `FollowingDrafter`.
    """

    layers: tuple[int, ...]
    rank: int | None = None
    follows: bool = False


class LowRank(nn.Module):
    """``x + U V x``; starts as the identity.

    Args:
        size: of x.
        rank: columns of U.
        seed: of V.
    """

    def __init__(self, size: int, rank: int, seed: int = 0) -> None:
        super().__init__()
        rng = torch.Generator().manual_seed(seed)
        self.down = nn.Linear(size, rank, bias=False)
        self.up = nn.Linear(rank, size, bias=False)
        with torch.no_grad():
            self.down.weight.copy_(torch.randn(rank, size, generator=rng) / size**0.5)
            self.up.weight.zero_()

    def forward(self, state: torch.Tensor) -> torch.Tensor:
        """``(..., size)``."""
        return state + self.up(self.down(state))


class Join(nn.Module):
    """``U h + W e`` of a state h and an embedding e; starts as their sum."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.map = nn.Linear(2 * size, size, bias=False)
        with torch.no_grad():
            self.map.weight.copy_(torch.eye(size).repeat(1, 2))

    def forward(self, state: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        """``(..., size)``."""
        joined: torch.Tensor = self.map(torch.cat([state, embedding], dim=-1))
        return joined


class DistilledDrafter(EarlyExit):
    """An exit of the target whose layers, or the map behind them, were trained.

    Attributes:
        recipe: what it is made of.
        parts: its trained parts; the body refers to them, so training them changes it.
    """

    def __init__(self, target: TransformerModel, recipe: Recipe, name: str = "distilled") -> None:
        self.target = target
        self.recipe = checked(recipe, target)
        self.layer = len(self.recipe.layers)
        self.name = name
        self.vocab_size, self.context = target.vocab_size, target.context
        self.tokenizer = target.tokenizer
        norm = final_norm(target)
        trained = {"norm": _own(norm)}
        body = with_layers(target.module.base_model, target.layers, self.recipe.layers)
        layers = getattr(body, layer_list(body, self.layer) or "")
        if self.recipe.rank is None:
            own = nn.ModuleList(_at(_own(layer), index) for index, layer in enumerate(layers))
            trained["layers"] = own
            _replace(body, layers, own)
            _replace(body, norm, trained["norm"])
        else:
            weight = target.module.get_output_embeddings().weight
            trained["map"] = LowRank(weight.shape[1], self.recipe.rank).to(weight)
            _replace(body, norm, nn.Sequential(trained["map"], trained["norm"]))
        if self.recipe.follows:
            weight = target.module.get_output_embeddings().weight
            trained["join"] = Join(weight.shape[1]).to(weight)
        self.parts = nn.ModuleDict(trained)
        self._body = body

    def states(
        self, tokens: torch.Tensor, target: torch.Tensor | None = None, passes: int = 1
    ) -> list[torch.Tensor]:
        """``(B, T, size)`` hidden states before the head, of ``(B, T)`` tokens.

        Args:
            tokens: read side by side.
            target: the target's states of them, for a drafter that follows it.
            passes: how many of a following drafter's steps in a row to return.
        """
        return [self._body(input_ids=tokens, use_cache=False).last_hidden_state]


def checked(recipe: Recipe, target: TransformerModel) -> Recipe:
    """The recipe with its layers counted from the front.

    Raises:
        InputError: no layers, a layer the target does not have, a rank below 1, or an adapter
            behind other layers than the first ones.
    """
    count = target.layers
    if not recipe.layers or not all(-count <= layer < count for layer in recipe.layers):
        raise InputError(
            f"`layers` is {recipe.layers}; model `{target.name}` has layers 0 to {count - 1}, or "
            f"-{count} to -1"
        )
    layers = tuple(layer % count for layer in recipe.layers)
    if recipe.rank is not None and (recipe.rank < 1 or layers != tuple(range(len(layers)))):
        raise InputError(
            f"`rank` is {recipe.rank} behind `layers` {recipe.layers}; an adapter has rank >= 1 "
            "and stands behind the first layers, in their order"
        )
    if recipe.rank is not None and recipe.follows:
        raise InputError("an adapter (`rank`) sits inside the target and cannot follow it")
    return Recipe(layers, recipe.rank, recipe.follows)


def drafter_of(
    target: TransformerModel, recipe: Recipe, name: str = "distilled"
) -> DistilledDrafter:
    """The untrained drafter of a recipe.

    Raises:
        InputError: a recipe that cannot be; see `checked`.
    """
    from spectheory.decoding.following import FollowingDrafter

    return (FollowingDrafter if recipe.follows else DistilledDrafter)(target, recipe, name)


def save_drafter(
    folder: Path,
    recipe: Recipe,
    parts: nn.Module,
    tokens: np.ndarray | None,
    card: dict[str, Any],
) -> Path:
    """Write the trained parts in float16, then the card beside them; returns the weights' path.

    Args:
        folder: where.
        recipe: of the drafter.
        parts: its trained parts.
        tokens: those of its head, if it is pruned.
        card: what else a reader should know.
    """
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    tensors = {key: v.half().contiguous().cpu() for key, v in parts.state_dict().items()}
    if tokens is not None:
        tensors[TOKENS] = torch.from_numpy(tokens.astype(np.int32))
    scratch = folder / f".{WEIGHTS}.partial"
    save_file(tensors, scratch)
    scratch.chmod(0o644)  # safetensors writes files that only their owner can read
    scratch.replace(folder / WEIGHTS)
    scratch = folder / f".{CARD}.partial"
    scratch.write_text(json.dumps({"recipe": asdict(recipe), **card}, indent=1) + "\n")
    scratch.replace(folder / CARD)
    return folder / WEIGHTS


def load_drafter(folder: Path, target: TransformerModel) -> DistilledDrafter | PrunedHead:
    """The drafter that `save_drafter` wrote, for a target.

    Raises:
        SourceUnavailable: there is none in the folder, or it cannot be read.
        InputError: it was made for a target of other sizes.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        recipe = json.loads((folder / CARD).read_text(encoding="utf-8"))["recipe"]
        tensors = load_file(folder / WEIGHTS)
        made_of = Recipe(tuple(recipe["layers"]), recipe["rank"], recipe.get("follows", False))
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise SourceUnavailable(
            f"{folder} holds no drafter that can be read ({CARD} and {WEIGHTS}): {error}"
        ) from error
    tokens = tensors.pop(TOKENS, None)
    drafter = drafter_of(target, made_of, f"{target.name}, distilled in {folder.name}")
    weight = target.module.get_output_embeddings().weight
    try:
        drafter.parts.load_state_dict({key: value.to(weight) for key, value in tensors.items()})
    except RuntimeError as error:
        raise InputError(
            f"the drafter in {folder} was made for another model than `{target.name}`: {error}"
        ) from error
    drafter.parts.eval().requires_grad_(False)
    if target.small_passes:
        from spectheory.decoding.small_passes import speed_up_small_passes

        speed_up_small_passes(drafter.parts)
    return drafter if tokens is None else PrunedHead(drafter, tokens.numpy())


def whole_head(drafter: DistilledDrafter | PrunedHead) -> DistilledDrafter:
    """The drafter behind a pruned head, or itself."""
    base = drafter.draft if isinstance(drafter, PrunedHead) else drafter
    assert isinstance(base, DistilledDrafter)
    return base


def _own(module: nn.Module) -> nn.Module:
    """A trainable copy."""
    return copy.deepcopy(module).requires_grad_(True)


def _at(layer: nn.Module, index: int) -> nn.Module:
    """Tell a layer its new place, by which it finds its entry of the cache."""
    for part in layer.modules():
        if hasattr(part, "layer_idx"):
            part.layer_idx = index
    return layer


def _replace(body: Any, old: Any, new: nn.Module) -> None:
    [name] = [name for name, child in body._modules.items() if child is old]
    body._modules[name] = new
