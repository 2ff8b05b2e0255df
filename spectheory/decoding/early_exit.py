"""A draft cut from its target: the first layers, the target's final norm and its output head.

No training is involved, so early layers predict poorly; the exit is a real draft all the same, with
a real cost, and needs no second set of weights.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from spectheory.decoding.model import check_logits
from spectheory.errors import InputError

if TYPE_CHECKING:
    from spectheory.decoding.transformer import TransformerModel
    from spectheory.decoding.transformer_session import TransformerSession

FINAL_NORMS = ("norm", "final_layernorm", "final_layer_norm", "ln_f")
"""Names that transformers' model families use for the norm before the head."""

HEAD_TOLERANCE = 1e-3
"""Largest gap, relative to the largest logit, between a model's logits and norm -> head."""


class EarlyExit:
    """The first layers of a model, its final norm and its head, sharing all weights.

    It runs only those layers, so it costs about ``layer / target.layers`` of the target's body and
    the whole of its head.

    Attributes:
        name: the target's name with the layer.
        layer: how many layers it runs.
        target: the model it is cut from.
        vocab_size: the target's.
        context: the target's.
        tokenizer: the target's.
    """

    def __init__(self, target: TransformerModel, layer: int) -> None:
        check_layer(target, layer)
        final_norm(target)
        self.target = target
        self.layer = layer
        self.name = f"{target.name}, exit {layer}"
        self.vocab_size = target.vocab_size
        self.context = target.context
        self.tokenizer = target.tokenizer
        self._body = with_layers(target.module.base_model, target.layers, range(layer))

    def logits(self, tokens: Any) -> np.ndarray:
        """``(T, V)`` float32, from one forward pass; see `LanguageModel.logits`."""
        import torch

        with torch.inference_mode():
            state = self._body(self.target.batch(tokens), use_cache=False).last_hidden_state
            head = self.target.module.get_output_embeddings()
            return check_logits(self.name, as_numpy(head(state)[0]))

    def session(self, texts: int, head: Callable[[Any], Any] | None = None) -> TransformerSession:
        """A session with a cache of its own for the layers that run.

        Args:
            texts: how many.
            head: from hidden states to logits; the target's if not given.
        """
        from spectheory.decoding.transformer_session import TransformerSession

        head = head or self.target.module.get_output_embeddings()

        def run(keep: Any, **inputs: Any) -> Any:
            return head(self._body(**inputs, use_cache=True).last_hidden_state[:, keep])

        weight = self.target.module.get_output_embeddings().weight
        return TransformerSession(self.name, run, self._body.config, self.layer, texts, weight)


def check_layer(model: TransformerModel, layer: int) -> None:
    """Refuse a layer that the model does not have.

    Raises:
        InputError: outside 1 to ``model.layers``.
    """
    if not 1 <= layer <= model.layers:
        raise InputError(f"`layer` is {layer}; model `{model.name}` has layers 1 to {model.layers}")


def final_norm(model: TransformerModel) -> Any:
    """The norm before the output head, once it is certain that norm -> head is the whole of it.

    Raises:
        InputError: the model family keeps its layers or norm elsewhere, or does more to its logits
            (a soft cap, a scale), so that an exit read this way would not be the model's own.
    """
    import torch

    base = model.module.base_model
    found = [name for name in FINAL_NORMS if hasattr(base, name)]
    if not found or layer_list(base, model.layers) is None:
        raise InputError(
            f"model `{model.name}` ({type(base).__name__}) keeps its layers or its final norm "
            "under a name that early exit does not know"
        )
    probe = torch.arange(min(4, model.vocab_size), device=model.module.device)[None]
    with torch.inference_mode():
        own = model.module(probe, use_cache=False).logits.float()
        state = base(probe, use_cache=False).last_hidden_state
        plain = model.module.get_output_embeddings()(state).float()
    gap = float((own - plain).abs().max() / own.abs().max())
    if not gap <= HEAD_TOLERANCE:
        raise InputError(
            f"the logits of model `{model.name}` are not its head applied to its hidden state "
            f"(relative gap {gap:.2g}); a soft cap or a scale?"
        )
    return getattr(base, found[0])


def as_numpy(logits: Any) -> np.ndarray:
    """A float32 NumPy copy of a torch tensor."""
    array: np.ndarray = logits.float().cpu().numpy()
    return array


def layer_list(base: Any, count: int) -> str | None:
    """Name of the module list that holds the layers."""
    for name, child in base.named_children():
        if type(child).__name__ == "ModuleList" and len(child) == count:
            return str(name)
    return None


def with_layers(base: Any, count: int, kept: Sequence[int]) -> Any:
    """A view of ``base`` that runs the layers ``kept`` out of ``count``; parameters are shared."""
    listed = layer_list(base, count)
    assert listed is not None  # final_norm has checked it
    layers = getattr(base, listed)
    view = copy.copy(base)
    view._modules = dict(base._modules)
    view._modules[listed] = type(layers)(layers[layer] for layer in kept)
    view.config = copy.copy(base.config)
    view.config.num_hidden_layers = len(kept)
    if getattr(base.config, "layer_types", None):
        view.config.layer_types = [base.config.layer_types[layer] for layer in kept]
    return view
