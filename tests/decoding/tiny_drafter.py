"""A tiny random model, and how a drafter of it is made."""

from dataclasses import replace

import numpy as np
import tokenizers
import torch
import transformers

from spectheory.decoding.distil import Distillation
from spectheory.decoding.distil_corpus import Corpus
from spectheory.decoding.distil_drafter import Recipe
from spectheory.decoding.transformer import TransformerModel
from spectheory.training import Training

TOKENS = np.array([3, 1, 4, 1, 5, 9, 2, 6])


def tiny(layers=4, size=16, seed=0):
    """A random Llama over the bytes; large weights, so that its laws are far from uniform."""
    torch.manual_seed(seed)
    config = transformers.LlamaConfig(
        vocab_size=257,
        hidden_size=size,
        intermediate_size=32,
        num_hidden_layers=layers,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=128,
        tie_word_embeddings=True,
        initializer_range=0.3,
        eos_token_id=256,
    )
    letters = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: i for i, letter in enumerate(letters)} | {"<end>": 256}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>")
    return TransformerModel(transformers.LlamaForCausalLM(config), fast, "tiny")


def plan(sources, **changes):
    sizes = {"prompt_tokens": 6, "new_tokens": 12, "together": 4}
    made = Distillation(
        Recipe((0, -1)),
        Corpus(sources[0], 20, **sizes),
        Corpus(sources[1], 8, **sizes),
        Training(60, 1e-2, warmup=5, averaging=0.9, every=10),
        batch=4,
    )
    return replace(made, **changes)
