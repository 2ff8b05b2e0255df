import numpy as np
import pytest

from spectheory.decoding.model import LanguageModel
from spectheory.decoding.threads import torch_threads
from spectheory.decoding.transformer import TransformerModel
from spectheory.errors import (
    ContextTooLong,
    InputError,
    ModelFailure,
    SourceUnavailable,
    TokenError,
)

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

TEXT = "def add(a, b):\n    return a + b\n\n\nprint(add(1, 2))\n"
TOKENS = np.array([3, 1, 4, 1, 5, 9, 2, 6])
SIZES = {"vocab_size": 31, "max_position_embeddings": 16}
LLAMA_SIZES = SIZES | {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 3}
LLAMA_SIZES |= {"num_attention_heads": 2, "num_key_value_heads": 1}
GEMMA_SIZES = LLAMA_SIZES | {"head_dim": 8, "sliding_window": 4}


def random_model(family):
    """An untrained model of a few thousand weights."""
    torch.manual_seed(0)
    if family == "llama":
        module = transformers.LlamaForCausalLM(transformers.LlamaConfig(**LLAMA_SIZES))
    elif family == "gpt2":
        config = transformers.GPT2Config(
            vocab_size=31, n_positions=16, n_embd=16, n_layer=3, n_head=2
        )
        module = transformers.GPT2LMHeadModel(config)
    else:
        cap = {"final_logit_softcapping": 0.01} if family == "capped" else {}
        module = transformers.Gemma3ForCausalLM(transformers.Gemma3TextConfig(**GEMMA_SIZES | cap))
    return TransformerModel(module, tokenizer=None, name=family)


@pytest.fixture(params=["llama", "gpt2", "gemma3"])
def model(request):
    return random_model(request.param)


def test_is_a_language_model(model):
    assert isinstance(model, LanguageModel)
    assert isinstance(model.early_exit(1), LanguageModel)
    assert (model.vocab_size, model.layers, model.context) == (31, 3, 16)


def test_one_pass_equals_one_pass_a_prefix(model):
    logits = model.logits(TOKENS)
    assert (logits.shape, logits.dtype) == ((8, 31), np.float32)
    for t in range(len(TOKENS)):
        np.testing.assert_allclose(model.logits(TOKENS[: t + 1])[-1], logits[t], atol=1e-5)


def test_exits(model):
    exits = model.exit_logits(TOKENS, [1, 2, 3])
    np.testing.assert_allclose(exits[3], model.logits(TOKENS), atol=1e-5)
    assert not np.allclose(exits[1], exits[2], atol=1e-3)
    for layer, logits in exits.items():
        np.testing.assert_allclose(model.early_exit(layer).logits(TOKENS), logits, atol=1e-5)
    assert model.layers == 3  # cutting a draft leaves the target whole
    np.testing.assert_allclose(model.logits(TOKENS), exits[3], atol=1e-5)


def test_an_exit_runs_its_layers_only():
    model = random_model("llama")
    ran = []
    for index, layer in enumerate(model.module.base_model.layers):
        layer.register_forward_hook(lambda *_, index=index: ran.append(index))
    draft = model.early_exit(2)
    ran.clear()
    draft.logits(TOKENS)
    assert ran == [0, 1]


def test_a_head_that_does_more_is_refused():
    model = random_model("capped")
    with pytest.raises(InputError, match="soft cap or a scale"):
        model.early_exit(1)
    with pytest.raises(InputError, match="soft cap or a scale"):
        model.exit_logits(TOKENS, [1])


@pytest.mark.parametrize("layer", [0, 4])
def test_layers_that_do_not_exist(model, layer):
    with pytest.raises(InputError, match=f"`layer` is {layer}; .* layers 1 to 3"):
        model.early_exit(layer)
    with pytest.raises(InputError, match="`layer` is"):
        model.exit_logits(TOKENS, [layer])


def test_refused_tokens(model):
    with pytest.raises(TokenError, match="empty"):
        model.logits([])
    with pytest.raises(TokenError, match="outside the vocabulary of 31"):
        model.logits([31])
    with pytest.raises(ContextTooLong, match="17 entries"):
        model.logits([0] * 17)


def test_nan_is_refused():
    model = random_model("llama")
    with torch.no_grad():
        model.module.get_output_embeddings().weight[0, 0] = float("nan")
    with pytest.raises(ModelFailure, match="position 0"):
        model.logits(TOKENS)


def test_a_folder_without_a_model(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(SourceUnavailable, match="cannot load"):
        TransformerModel.from_folder(tmp_path)


def test_threads(monkeypatch):
    before = torch.get_num_threads()
    try:
        monkeypatch.setenv("SPECTHEORY_TORCH_THREADS", "2")
        assert torch_threads(1) == torch.get_num_threads() == 1
        assert torch_threads() == torch.get_num_threads() == 2
        monkeypatch.setenv("SPECTHEORY_TORCH_THREADS", "many")
        with pytest.raises(InputError, match="SPECTHEORY_TORCH_THREADS"):
            torch_threads()
        with pytest.raises(InputError, match="`threads` is 0"):
            torch_threads(0)
        monkeypatch.delenv("SPECTHEORY_TORCH_THREADS")
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        assert 1 <= torch_threads() <= 256
    finally:
        torch.set_num_threads(before)


@pytest.mark.models
def test_smollm2(smollm2):
    tokens = smollm2.encode(TEXT)
    assert smollm2.vocab_size == 49_152
    assert smollm2.decode(tokens) == TEXT
    logits = smollm2.logits(tokens)
    assert logits.shape == (len(tokens), 49_152)
    exits = smollm2.exit_logits(tokens, [20, 30])
    np.testing.assert_allclose(exits[30], logits, atol=1e-4)
    np.testing.assert_allclose(smollm2.early_exit(20).logits(tokens), exits[20], atol=1e-4)


@pytest.mark.models
def test_smollm2_token_by_token_with_a_cache(smollm2):
    tokens = smollm2.encode(TEXT)[:16]
    logits, cache = smollm2.logits(tokens), None
    for t, token in enumerate(tokens.tolist()):
        with torch.inference_mode():
            output = smollm2.module(torch.tensor([[token]]), past_key_values=cache, use_cache=True)
        cache = output.past_key_values
        np.testing.assert_allclose(output.logits[0, 0].numpy(), logits[t], atol=2e-3)


def test_end_tokens_are_the_tokenizer_s_and_those_of_the_settings(model):
    settings = model.module.generation_config
    settings.eos_token_id = None
    assert model.end_tokens == frozenset()
    settings.eos_token_id = 3
    assert model.end_tokens == {3}
    settings.eos_token_id = [3, 5]
    model.tokenizer = type("Tokenizer", (), {"eos_token_id": 4})()
    assert model.end_tokens == {3, 4, 5}


def test_a_model_without_a_chat_template_takes_no_chat(model):
    with pytest.raises(InputError, match="no chat template"):
        model.chat("hello")
