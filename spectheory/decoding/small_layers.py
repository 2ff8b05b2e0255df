"""Decoder layers of the common kind that read a few tokens with one call of torch: the attention.

Over a few tokens a layer is a dozen small operations around its linear maps, and calling them takes
about as long as a small model's weights take to be read. Imports torch: load this module where a
model is run.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple, SupportsIndex, cast

import numpy as np
import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from spectheory.decoding.cache import RaggedCache
from spectheory.decoding.small_passes import Seen, SmallLinear, needs_no_gradients, unchanged
from spectheory.kernels.small_layer import outputs, queries

TOLERANCE = 1e-3
"""Largest gap, relative to the largest number, to what a layer adds to its inputs itself."""

FAR = 1 << 20
"""First position at which a layer is tried: one that scales by positions does so far out."""


class Parts(NamedTuple):
    """What the layers of Llama and its many relatives are made of, by the names there."""

    input_layernorm: Any
    self_attn: Any
    post_attention_layernorm: Any
    mlp: Any
    q_proj: Any
    k_proj: Any
    v_proj: Any
    o_proj: Any
    gate_proj: Any
    up_proj: Any
    down_proj: Any
    act_fn: Any

    @classmethod
    def of(cls, layer: nn.Module) -> Parts | None:
        """A layer's as they are now; None if it has others, or more."""
        own = layer._modules
        try:
            return cls(**own, **own["self_attn"]._modules, **own["mlp"]._modules)
        except (KeyError, AttributeError, TypeError):
            return None

    @property
    def linears(self) -> tuple[Any, ...]:
        """The maps, in the order in which they are run."""
        return self[4:11]


class Arrays(NamedTuple):
    """A layer for the kernels.

    Attributes:
        attention: its module.
        most_rows: that all its linear maps have kernels for.
        parts: each with the modules that hold it, and its name there.
        hooks: of the parts.
        seen: the parameters.
        norms: weight and epsilon of each.
        linears: weights and bias of each.
    """

    attention: Any
    most_rows: int
    parts: list[tuple[dict[str, Any], str, Any]]
    hooks: list[dict[int, Any]]
    seen: list[Seen]
    norms: list[tuple[np.ndarray, float]]
    linears: list[tuple[np.ndarray, np.ndarray]]

    @classmethod
    def of(cls, layer: nn.Module, parts: Parts) -> Arrays:
        """Of a layer whose linear maps are small."""
        norms = parts.input_layernorm, parts.post_attention_layernorm
        owners = (layer, parts.self_attn, parts.mlp)
        return cls(
            parts.self_attn,
            min(linear.reads.most_rows for linear in parts.linears),
            [(o._modules, name, part) for o in owners for name, part in o._modules.items()],
            [hooks for part in parts for hooks in (part._forward_hooks, part._forward_pre_hooks)],
            [held for part in (*norms, *parts.linears) for held in Seen.all_of(part)],
            [(norm.weight.detach().numpy(), norm.variance_epsilon) for norm in norms],
            [(linear.reads.values, _bias(linear)) for linear in parts.linears],
        )

    def hold(self, rows: int) -> bool:
        """Whether they are the layer's still, which nobody hooks into, and for so many rows."""
        return (
            0 < rows <= self.most_rows
            and not any(self.hooks)
            and all(
                held.get(name) is part and "forward" not in vars(part)
                for held, name, part in self.parts
            )
            and unchanged(self.seen)
        )

    def run(
        self,
        inputs: torch.Tensor,
        *,
        past_key_values: RaggedCache,
        attention_mask: torch.Tensor,
        position_embeddings: tuple[torch.Tensor, torch.Tensor],
        **_: object,
    ) -> torch.Tensor:
        """What the layer makes of ``(B, T, size)`` inputs, up to rounding."""
        memory = past_key_values.layers[self.attention.layer_idx]
        rows, (before, after) = inputs.numpy(), self.norms
        cos, sin = (np.ascontiguousarray(table.numpy()) for table in position_embeddings)
        heads = queries(
            rows,
            before,
            *self.linears[:3],
            cos,
            sin,
            past_key_values.starts,
            memory.keys.numpy(),
            memory.values.numpy(),
        )
        seen_keys, seen_values = memory.seen()
        read = scaled_dot_product_attention(
            torch.from_numpy(heads).transpose(1, 2),
            seen_keys,
            seen_values,
            attention_mask,
            scale=self.attention.scaling,
            enable_gqa=True,
        )
        read = np.ascontiguousarray(read.transpose(1, 2).numpy())
        out, *rest = self.linears[3:]
        return torch.from_numpy(outputs(rows, read, out, after, *rest))


class SmallLayer(nn.Module):
    """A decoder layer whose small passes over a `RaggedCache` run on arrays.

    All other passes are the layer's own, and so are those of one whose parts were exchanged, hooked
    or written to, and those that make room in the cache.

    Attributes:
        arrays: made of its parts.
    """

    arrays: Arrays

    def forward(self, hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        """See the layer's own."""
        if not torch.compiler.is_compiling() and self._suits(hidden_states, **kwargs):
            return self.arrays.run(hidden_states, **kwargs)
        return super().forward(hidden_states, *args, **kwargs)

    def _suits(self, inputs: torch.Tensor, **given: Any) -> bool:
        memory, attention = given.get("past_key_values"), self.arrays.attention
        angles = given.get("position_embeddings")
        return (
            isinstance(memory, RaggedCache)
            and memory.layers[attention.layer_idx].has_room()
            and isinstance(given.get("attention_mask"), torch.Tensor)
            and needs_no_gradients(inputs)
            and not self.training
            and angles is not None
            and angles[0].shape == (*inputs.shape[:-1], attention.head_dim)
            and inputs.is_contiguous()
            and self.arrays.hold(inputs.shape[0] * inputs.shape[1])
        )

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        """Copies, and what is pickled, are plain layers."""
        own = vars(self).keys() - {"arrays"}
        return object.__new__, (_plain(self),), {name: vars(self)[name] for name in own}


def speed_up_layers(module: nn.Module, wanted: bool = True) -> None:
    """Let the layers that the kernels are right for use them, or none if that is not wanted.

    What a layer computes is not told by the names of its parts, so each is tried out.
    """
    for layer in module.modules():
        if isinstance(layer, SmallLayer):
            del layer.arrays
            layer.__class__ = _plain(layer)
        parts, kind = Parts.of(layer), cast(Any, type(layer))
        if (
            not wanted
            or parts is None
            or not all(type(linear) is SmallLinear for linear in parts.linears)
        ):
            continue
        if _agrees(layer, parts):
            layer.__class__ = _small(kind)
            cast(SmallLayer, layer).arrays = Arrays.of(layer, parts)


def _plain(layer: SmallLayer) -> Any:
    """The class that a layer was of."""
    return type(layer).__bases__[1]


@torch.inference_mode()
def _agrees(layer: nn.Module, parts: Parts, tokens: int = 3) -> bool:
    """Whether a layer and its arrays make the same of the second of two passes."""
    rng = torch.Generator().manual_seed(0)
    size = parts.q_proj.in_features
    try:
        first, second = torch.randn(2, 1, tokens, size, generator=rng)
        angles = torch.randn(1, tokens, parts.self_attn.head_dim, generator=rng)
        given: dict[str, Any] = {
            "position_embeddings": (angles.cos(), angles.sin()),
            "position_ids": torch.arange(tokens)[None] + FAR,
            "use_cache": True,
        }
        found = []
        for run in (layer, Arrays.of(layer, parts).run):
            made, memory = first, RaggedCache(parts.self_attn.layer_idx + 1, 1)
            for inputs, way, read in ((first, layer, 0), (second, run, tokens)):
                memory.place([read], tokens)
                mask = torch.full((tokens, memory.end), torch.finfo(inputs.dtype).min)
                mask = mask.triu(read + 1)[None, None]
                made = way(inputs, past_key_values=memory, attention_mask=mask, **given)
            found.append((made - second, *memory.layers[-1].seen()))
    except Exception:  # a layer that is called in another way is of another kind
        return False
    return all(
        own.shape == ours.shape and bool((own - ours).abs().max() <= TOLERANCE * own.abs().max())
        for own, ours in zip(*found, strict=True)
    )


def _bias(linear: SmallLinear) -> np.ndarray:
    none = np.zeros(linear.reads.features, np.float32)
    return none if linear.added is None else linear.added


@cache
def _small(kind: Any) -> Any:
    return type(f"Small{kind.__name__}", (SmallLayer, kind), {})
