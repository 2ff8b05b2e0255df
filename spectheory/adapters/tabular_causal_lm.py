"""A table of laws as a transformers model, so that its real ``generate`` runs on exact laws."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np


def tabular_causal_lm(table: np.ndarray) -> Any:
    """A causal language model whose next-token law is ``table[last token]``.

    Args:
        table: ``(V, V)`` float64 laws.

    >>> model = tabular_causal_lm(np.array([[0.5, 0.5], [0.25, 0.75]]))
    >>> import torch
    >>> model(torch.tensor([[0, 1]])).logits.exp()[0, 1].tolist()
    [0.25, 0.75]
    """
    import torch

    model_class, config_class = _classes()
    model = model_class(config_class(vocab_size=len(table)))
    with np.errstate(divide="ignore"):
        model.logarithms = torch.nn.Parameter(
            torch.from_numpy(np.log(table)).float(), requires_grad=False
        )
    return model.eval()


@cache
def _classes() -> tuple[Any, Any]:
    """The model and its configuration, defined here so that importing this file needs no torch."""
    import torch
    from transformers import DynamicCache, GenerationMixin, PretrainedConfig, PreTrainedModel
    from transformers.modeling_outputs import CausalLMOutputWithPast

    class TabularConfig(PretrainedConfig):
        model_type = "spectheory_tabular"

        def __init__(self, vocab_size: int = 2, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.vocab_size = vocab_size
            self.num_hidden_layers = 1
            self.hidden_size = self.num_attention_heads = 1
            self.is_encoder_decoder = False

    class TabularCausalLM(PreTrainedModel, GenerationMixin):
        config_class = TabularConfig
        main_input_name = "input_ids"

        def __init__(self, config: Any) -> None:
            super().__init__(config)
            size = config.vocab_size
            self.logarithms = torch.nn.Parameter(torch.zeros(size, size), requires_grad=False)
            self.post_init()

        def forward(
            self, input_ids: Any, past_key_values: Any = None, **kwargs: Any
        ) -> CausalLMOutputWithPast:
            if past_key_values is None:
                past_key_values = DynamicCache()
            # The law needs no memory; the cache holds one number a token, so that generation
            # counts and crops it as it does a real one.
            held = input_ids.float()[:, None, :, None]
            past_key_values.update(held, held, 0)
            logits = self.logarithms[input_ids]
            return CausalLMOutputWithPast(logits=logits, past_key_values=past_key_values)

    return TabularCausalLM, TabularConfig
