"""Assisted generation, the real function: on exact tables and on models, with both controls."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from spectheory.adapters.tabular_causal_lm import tabular_causal_lm
from spectheory.adapters.transformers_generate import TransformersGenerate, exit_module
from spectheory.audit.stream import StreamAudit
from spectheory.decoding.tabular import TabularModel
from spectheory.decoding.transformer import TransformerModel
from spectheory.errors import InputError

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

ROWS = np.random.default_rng(2).dirichlet(np.full(5, 0.7), (2, 5))
TARGET, DRAFT = ROWS[0], 0.5 * ROWS[0] + 0.5 * ROWS[1]


@pytest.fixture(autouse=True)
def _quiet():
    """transformers logs a deprecation from within its own assisted generation."""
    logger = logging.getLogger("transformers.generation.utils")
    before = logger.level
    logger.setLevel(logging.ERROR)
    yield
    logger.setLevel(before)


def random_llama(layers: int = 3) -> TransformerModel:
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=31,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=layers,
        num_attention_heads=2,
        max_position_embeddings=64,
        initializer_range=0.5,
    )
    return TransformerModel(transformers.LlamaForCausalLM(config), tokenizer=None, name="llama")


def test_the_table_is_a_causal_model_with_a_cache():
    model = tabular_causal_lm(TARGET)
    whole = model(torch.tensor([[0, 3, 2]]))
    np.testing.assert_allclose(whole.logits.exp()[0], TARGET[[0, 3, 2]], rtol=1e-6)
    whole.past_key_values.crop(-1)
    assert whole.past_key_values.get_seq_length() == 2
    again = model(torch.tensor([[2]]), past_key_values=whole.past_key_values)
    assert again.past_key_values.get_seq_length() == 3


@pytest.mark.slow
@pytest.mark.parametrize("confidence", [0.0, 0.4])
def test_a_stream_has_the_targets_law_and_not_the_drafts(confidence):
    one = TransformersGenerate(confidence=confidence, length=48)
    models = TabularModel([TARGET[0], TARGET]), TabularModel([DRAFT[0], DRAFT])
    right, wrong = StreamAudit(1e-6), StreamAudit(1e-6)
    for steps in one.decode(*models, requests=8, steps=0, seed=1):
        assert steps.counts.sum() == 48
        assert confidence or (steps.counts > 1).any()
        right.update(steps)
        wrong.update(steps._replace(target=steps.draft, draft=steps.target))
    assert not right.report().biased
    assert wrong.report().biased


def test_without_drafts_taken_the_text_is_still_the_models():
    """A draft that never proposes a possible token: every step replaces, and emits one token."""
    target = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    draft = np.array([[1.0, 0.0, 0.0]] * 3)
    one = TransformersGenerate(length=6)
    blocks = one.generate(tabular_causal_lm(target), tabular_causal_lm(draft), np.array([0]), 0)
    assert [block.tolist() for block in blocks] == [[1], [2], [1], [2], [1], [2]]


def test_the_exit_module_is_the_early_exit():
    target = random_llama()
    drafter = target.early_exit(1)
    text = np.array([3, 1, 4, 1, 5])
    with torch.inference_mode():
        found = exit_module(drafter)(torch.from_numpy(text)[None]).logits[0].numpy()
    np.testing.assert_allclose(found, drafter.logits(text), rtol=1e-5, atol=1e-5)
    assert target.module.config.num_hidden_layers == 3


def test_a_text_of_a_model_with_its_own_first_layers():
    """Laws along the text are teacher-forced, so a text of another seed does not fit them."""
    target = random_llama()
    one = TransformersGenerate(length=40)
    right, wrong = StreamAudit(1e-6), StreamAudit(1e-6)
    prompt = np.array([1, 2, 3])
    for seed in range(3):
        steps = one.real_text(target, 2, prompt, seed)
        assert steps.counts.sum() == 40
        right.update(steps)
        rolled = steps._replace(target=np.roll(steps.target, 1, axis=-1))
        wrong.update(rolled)
    assert not right.report().biased
    assert wrong.report().biased


@pytest.mark.slow
@pytest.mark.models
def test_smollm2_drafted_by_its_own_layers(smollm2):
    one = TransformersGenerate(length=40)
    prompt = smollm2.encode("The lighthouse stood on the edge of the world, and every night")
    steps = one.real_text(smollm2, 26, prompt, 0)
    audit = StreamAudit(1e-6)
    audit.update(steps)
    assert not audit.report().biased
    assert audit.report().tokens == 40
    shuffled = StreamAudit(1e-2)  # forty tokens are few
    shuffled.update(steps._replace(target=np.roll(steps.target, 1, axis=-1)))
    assert shuffled.report().biased


def test_tables_without_context_are_decoded_and_longer_ones_refused():
    one = TransformersGenerate(length=6)
    flat = TabularModel([TARGET[0]]), TabularModel([DRAFT[0]])
    assert next(one.decode(*flat, requests=1, steps=0, seed=0)).counts.sum() == 6
    order_2 = TabularModel.random(2, 2, np.random.default_rng(0), exact=False)
    with pytest.raises(InputError, match="order 0 or 1"):
        next(one.decode(order_2, order_2, requests=1, steps=0, seed=0))
