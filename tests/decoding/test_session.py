"""Sessions of small untrained transformers: trees, ragged batches, rollback, faults."""

import os

import numpy as np
import pytest

from spectheory.decoding.sampling import Sampling
from spectheory.decoding.session import HeadTokens, LogitRows, Nodes, PrunedRows
from spectheory.errors import InputError, ModelFailure

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from spectheory.decoding.transformer import TransformerModel  # noqa: E402

SIZES = {"vocab_size": 31, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 3}
SIZES |= {"num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 600}
TEXT = np.array([3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8])


def built(family):
    torch.manual_seed(0)
    if family == "gpt2":
        config = transformers.GPT2Config(
            vocab_size=31, n_positions=600, n_embd=16, n_layer=2, n_head=2,
            bos_token_id=0, eos_token_id=0,
        )  # fmt: skip
        module = transformers.GPT2LMHeadModel(config)
    elif family == "mistral":  # one sliding window for all layers
        config = transformers.MistralConfig(**SIZES, sliding_window=3)
        module = transformers.MistralForCausalLM(config)
    elif family == "gemma3":  # windows in some layers
        config = transformers.Gemma3TextConfig(**SIZES, head_dim=8, sliding_window=3)
        config.layer_types = ["sliding_attention", "full_attention", "sliding_attention"]
        module = transformers.Gemma3ForCausalLM(config)
    elif family == "qwen2":
        module = transformers.Qwen2ForCausalLM(transformers.Qwen2Config(**SIZES))
    else:
        module = transformers.LlamaForCausalLM(transformers.LlamaConfig(**SIZES))
    return TransformerModel(module, tokenizer=None, name=family)


@pytest.fixture(scope="module", params=["llama", "gpt2", "mistral", "gemma3", "qwen2"])
def model(request):
    return built(request.param)


def alone(model, *tokens):
    """Logits behind a text, from a pass of its own without a cache."""
    return model.logits(np.array(tokens))[-1]


def close(found, expected):
    np.testing.assert_allclose(np.asarray(found), expected, atol=2e-6)


def test_ragged_trees_grow_are_pruned_and_grow_again(model):
    session, texts = model.session(3), [list(TEXT[:9]), list(TEXT[:1]), []]
    session.extend([Nodes.chain(text, 0) for text in texts])
    session.keep([range(len(text)) for text in texts])
    first = session.extend(
        [Nodes([7, 8, 9], [-1, -1, 0], 3), Nodes([10], [-1], 1), Nodes([11, 12], [-1, 0], 1)]
    )
    close(first[0].logits[0], alone(model, *texts[0], 7))
    close(first[0].logits[1], alone(model, *texts[0], 8))
    close(first[0].logits[2], alone(model, *texts[0], 7, 9))
    close(first[1].logits[0], alone(model, *texts[1], 10))
    close(first[2].logits[0], alone(model, 11, 12))
    # Nodes may be hung below any that are pending, and a text may sit a turn out.
    second = session.extend([Nodes([13, 14], [1, 2], 2), Nodes([], [], 0), Nodes([15], [-1], 1)])
    close(second[0].logits[0], alone(model, *texts[0], 8, 13))
    close(second[0].logits[1], alone(model, *texts[0], 7, 9, 14))
    assert len(second[1]) == 0
    close(second[2].logits[0], alone(model, 15))
    session.keep([[1, 3], [], [0, 1]])
    texts = [[*texts[0], 8, 13], texts[1], [11, 12]]
    session.select([2, 0])
    last = session.extend([Nodes.chain([16, 17], 2), Nodes.chain([18], 1)])
    close(last[0].logits[1], alone(model, 11, 12, 16, 17))
    close(last[1].logits[0], alone(model, *texts[0], 18))


def test_the_cache_grows(model):
    tokens = np.resize(TEXT, 300)
    session = model.session(1)
    for start in range(0, 300, 60):
        [rows] = session.extend([Nodes.chain(tokens[start : start + 60], 1)])
        session.keep([range(60)])
    close(rows.logits[0], alone(model, *tokens))


def test_rejected_tokens_leave_no_trace(model):
    """The same bits, whether or not something else was read and forgotten in between."""
    found = []
    for detour in (False, True):
        session = model.session(1)
        session.extend([Nodes.chain(TEXT[:5], 0)])
        session.keep([range(5)])
        if detour:
            session.extend([Nodes([30, 29, 28], [-1, 0, -1], 3)])
            session.keep([[]])
        [rows] = session.extend([Nodes.chain(TEXT[5:8], 3)])
        found.append(np.asarray(rows.logits))
    np.testing.assert_array_equal(*found)


def test_rows_become_laws_by_the_parameters_of_the_request():
    from spectheory.decoding.sampling import Sampling

    rows = LogitRows(torch.log(torch.tensor([[0.5, 0.3, 0.2]])))
    np.testing.assert_allclose(rows.law(0, Sampling()), [0.5, 0.3, 0.2], atol=1e-7)
    np.testing.assert_allclose(rows.law(0, Sampling(top_k=2)), [0.625, 0.375, 0], atol=1e-7)
    np.testing.assert_array_equal(rows.law(0, Sampling(0)), [1, 0, 0])


def test_logits_that_are_no_numbers():
    model = built("llama")
    with torch.no_grad():
        model.module.lm_head.weight[:, 0] = torch.nan
    with pytest.raises(ModelFailure, match="`llama` returned NaN"):
        model.session(1).extend([Nodes.chain(TEXT, 1)])


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("can't allocate memory")]
)
def test_out_of_memory_says_what_would_need_less(error, monkeypatch):
    model = built("llama")
    model.session(1)  # tried before memory runs out

    def full(*_, **__):
        raise error

    monkeypatch.setattr(model, "_pass", full)
    with pytest.raises(MemoryError, match=r"12 tokens of 2 texts.*smaller batch"):
        model.session(2).extend([Nodes.chain(TEXT, 1)] * 2)


def test_other_errors_are_not_taken_for_memory(monkeypatch):
    model = built("llama")
    model.session(1)

    def broken(*_, **__):
        raise RuntimeError("shapes")

    monkeypatch.setattr(model, "_pass", broken)
    with pytest.raises(RuntimeError, match="shapes"):
        model.session(1).extend([Nodes.chain(TEXT, 1)])


def test_models_that_cannot_forget_are_refused():
    model = built("llama")
    model.module._is_stateful = True
    with pytest.raises(InputError, match="recurrent state"):
        model.session(1)
    model = built("qwen2")
    model.module.config.layer_types = ["linear_attention", "full_attention", "full_attention"]
    with pytest.raises(InputError, match="layers of type linear_attention"):
        model.session(1)


@pytest.mark.parametrize(
    "sampling", [Sampling(), Sampling(0.7), Sampling(0), Sampling(1.2, 3, 0.8)]
)
def test_rows_of_a_pruned_head_are_those_of_masked_logits(sampling):
    rng = np.random.default_rng(0)
    logits, tokens = rng.normal(size=(3, 5)).astype(np.float32), np.array([0, 2, 3, 7, 8])
    whole = np.full((3, 10), -np.inf, np.float32)
    whole[:, tokens] = logits
    pruned, masked = PrunedRows(logits, HeadTokens(tokens, 10)), LogitRows(whole)
    for row in range(3):
        for one, other in ((pruned, masked), (pruned.resized(8), masked.resized(8))):
            law = other.law(row, sampling)
            np.testing.assert_allclose(one.law(row, sampling), law, atol=1e-15)
            assert law.shape == one.law(row, sampling).shape


def test_grouped_keys_are_not_copied_for_each_head(monkeypatch):
    from transformers.integrations import sdpa_attention

    from spectheory.decoding import transformer_session
    from spectheory.decoding.grouped_heads import SWITCH, uncopied_groups

    monkeypatch.delenv(SWITCH, raising=False)
    model, copied = built("llama"), []
    model.session(1)
    copy = sdpa_attention.repeat_kv
    monkeypatch.setattr(
        sdpa_attention, "repeat_kv", lambda *given: (copied.append(given[1]), copy(*given))[1]
    )

    def read():
        [rows] = model.session(1).extend([Nodes([7, 8, 9], [-1, -1, 0], 3)])
        return rows.logits

    found = read()
    assert not copied
    assert SWITCH not in os.environ
    monkeypatch.setattr(
        transformer_session, "uncopied_groups", lambda _: uncopied_groups("another device")
    )
    torch.testing.assert_close(found, read(), rtol=0, atol=1e-6)
    assert copied == [2] * 6  # keys and values of three layers
    monkeypatch.setenv(SWITCH, "0")  # what a user has set stays
    with uncopied_groups("cpu"):
        assert os.environ[SWITCH] == "0"
    assert os.environ[SWITCH] == "0"


def slot_reading(family, window=4):
    """A model whose attention takes positions from cache slots."""
    torch.manual_seed(0)
    sizes = {"vocab_size": 31, "hidden_size": 16}
    if family == "gpt_neo":
        config = transformers.GPTNeoConfig(
            **sizes, num_layers=2, num_heads=2, attention_types=[[["global", "local"], 1]],
            max_position_embeddings=600, window_size=window, bos_token_id=0, eos_token_id=0,
        )  # fmt: skip
        module = transformers.GPTNeoForCausalLM(config)
    elif family == "mpt":
        config = transformers.MptConfig(vocab_size=31, d_model=16, n_layers=2, n_heads=2)
        module = transformers.MptForCausalLM(config)
    elif family == "bloom":
        config = transformers.BloomConfig(**sizes, n_layer=2, n_head=2)
        module = transformers.BloomForCausalLM(config)
    else:
        config = transformers.FalconConfig(
            **sizes, num_hidden_layers=2, num_attention_heads=2, alibi=True
        )
        module = transformers.FalconForCausalLM(config)
    return TransformerModel(module, tokenizer=None, name=family)


@pytest.mark.parametrize("window", [4, 256])
def test_windows_over_cache_slots_are_refused(window):
    with pytest.raises(InputError, match=r"`gpt_neo` does not read a cache.*relative gap"):
        slot_reading("gpt_neo", window).session(4)


@pytest.mark.parametrize("family", ["mpt", "bloom", "falcon"])
def test_alibi_over_cache_slots_is_refused(family):
    with pytest.raises(InputError, match=rf"`{family}` does not read a cache.*ALiBi"):
        slot_reading(family).session(1)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_rounding_refuses_no_model(model, dtype):
    rounded = TransformerModel(built(model.name).module.to(dtype), tokenizer=None, name="rounded")
    rounded.session(1)


def test_a_head_of_zeros_is_no_fault():
    model = built("llama")
    with torch.no_grad():
        model.module.lm_head.weight.zero_()
    model.session(1)


def test_a_model_is_tried_once(monkeypatch):
    model, passes = built("llama"), []
    read = model._pass
    monkeypatch.setattr(
        model, "_pass", lambda keep, **inputs: (passes.append(1), read(keep, **inputs))[1]
    )
    for _ in range(2):
        model.session(3)
    assert len(passes) == 2


def test_models_with_two_sets_of_angles_stay_within_the_first():
    """The longer set turns all positions of a pass, cached keys stay as the first turned them."""
    factors = {"short_factor": [1.0] * 4, "long_factor": [8.0] * 4}
    rope = {"rope_type": "longrope", "rope_theta": 1e4, "original_max_position_embeddings": 8}
    config = transformers.Phi3Config(
        **SIZES, pad_token_id=0, original_max_position_embeddings=8, rope_parameters=rope | factors
    )
    model = TransformerModel(transformers.Phi3ForCausalLM(config), tokenizer=None, name="phi3")
    assert model.context == 8
    session = model.session(1)
    session.extend([Nodes.chain(TEXT[:7], 1)])
    session.keep([range(7)])
    [rows] = session.extend([Nodes.chain(TEXT[7:8], 1)])
    close(rows.logits[0], alone(model, *TEXT[:8]))
    assert built("llama").context == 600
