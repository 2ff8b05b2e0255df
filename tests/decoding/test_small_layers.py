import copy
import pickle

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from spectheory.decoding import small_passes  # noqa: E402
from spectheory.decoding.session import Nodes  # noqa: E402
from spectheory.decoding.small_layers import Arrays, SmallLayer  # noqa: E402
from spectheory.decoding.transformer import TransformerModel  # noqa: E402

SIZES = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}
TREE = Nodes([5, 6, 7, 8], [-1, 0, 0, 2], 4)


def model(family="Llama", **settings):
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**{**SIZES, **settings})
    module = getattr(transformers, f"{family}ForCausalLM")(config).eval().requires_grad_(False)
    for name, parameter in module.named_parameters():
        parameter += torch.randn_like(parameter) / 8 if "norm" in name else 0.1 * torch.randn(1)
    return TransformerModel(module, None, family)


def layers(made):
    return list(made.module.base_model.layers)


def logits(made):
    """Of a tree below two texts of different lengths."""
    session = made.session(2)
    session.extend([Nodes.chain([1, 2, 3], 0), Nodes.chain([4], 0)])
    session.keep([range(3), range(1)])
    return torch.stack([rows.logits for rows in session.extend([TREE, TREE])])


def runs(monkeypatch):
    ran = []
    run = Arrays.run
    monkeypatch.setattr(
        Arrays, "run", lambda self, *args, **kwargs: ran.append(1) or run(self, *args, **kwargs)
    )
    return ran


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("Llama", {}),
        ("Llama", {"attention_bias": True, "mlp_bias": True}),
        ("Llama", {"num_key_value_heads": 4, "rms_norm_eps": 0.5}),
        ("Llama", {"head_dim": 16}),
        ("Qwen2", {}),
        ("Qwen2", {"use_sliding_window": True, "sliding_window": 3, "max_window_layers": 1}),
        ("Mistral", {"sliding_window": 4}),
    ],
)
def test_small_passes_of_a_layer_say_what_its_own_say(family, settings, monkeypatch):
    made = model(family, **settings)
    expected = logits(made)
    made.speed_up()
    assert all(isinstance(layer, SmallLayer) for layer in layers(made))
    ran = runs(monkeypatch)
    torch.testing.assert_close(logits(made), expected, rtol=1e-4, atol=1e-4)
    assert len(ran) == 2  # the first pass makes room in the cache


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("Llama", {"hidden_act": "gelu"}),
        ("Granite", {"residual_multiplier": 0.5}),
        ("Gemma", {"head_dim": 8}),
        ("Qwen3", {"head_dim": 8}),
        (
            "Ministral3",
            {
                "head_dim": 8,
                "rope_parameters": {
                    "rope_type": "default",
                    "rope_theta": 1e4,
                    "llama_4_scaling_beta": 0.5,
                    "original_max_position_embeddings": 4,
                },
            },
        ),
    ],
)
def test_other_kinds_of_layers_stay_as_they_are(family, settings):
    made = model(family, **settings)
    expected = logits(made)
    made.speed_up()
    assert not any(isinstance(layer, SmallLayer) for layer in layers(made))
    torch.testing.assert_close(logits(made), expected, rtol=1e-4, atol=1e-4)


def written_to(layer):
    layer.mlp.up_proj.weight[0] += 1


def with_another_norm(layer):
    layer.input_layernorm.weight[:] = 2


def with_another_part(layer):
    layer.self_attn.o_proj = torch.nn.Sequential(layer.self_attn.o_proj, torch.nn.Tanh())


def with_other_data(layer):
    layer.post_attention_layernorm.weight.data = torch.full((32,), 2.0)


def hooked(layer):
    layer.mlp.register_forward_hook(lambda _, __, output: output * 2)


def with_its_own_forward(layer):
    own = layer.mlp.forward
    layer.mlp.forward = lambda states: own(states) * 2


def parametrised(layer):
    class Twice(torch.nn.Module):
        def forward(self, weight):
            return weight * 2

    torch.nn.utils.parametrize.register_parametrization(layer.mlp.up_proj, "weight", Twice())


@pytest.mark.parametrize(
    "change",
    [
        written_to,
        with_another_norm,
        with_another_part,
        with_other_data,
        hooked,
        with_its_own_forward,
        parametrised,
    ],
)
def test_a_layer_that_changes_is_read_as_it_is_now(change):
    made = model()
    made.speed_up()
    before = logits(made)
    change(layers(made)[0])
    after = logits(made)
    for layer in layers(made):
        layer.__class__ = type(layer).__bases__[1]
    torch.testing.assert_close(after, logits(made), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(after, before, rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))], ids=["copy", "file"]
)
def test_copies_are_plain_layers(copied):
    made = model()
    made.speed_up()
    [one, _] = layers(made)
    other = copied(one)
    assert type(other) is type(one).__bases__[1]
    assert type(other.mlp.up_proj) is torch.nn.Linear


def test_layers_are_plain_again_where_their_maps_are(monkeypatch):
    made = model()
    made.speed_up()
    monkeypatch.setattr(small_passes, "_faster", lambda _: False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert small_passes.speed_up_small_passes(made.module) == set()
    assert not any(isinstance(layer, SmallLayer) for layer in layers(made))


def test_layers_are_compiled_only_if_that_is_wanted():
    made = model()
    made.speed_up()
    assert all(isinstance(layer, SmallLayer) for layer in layers(made))
    assert small_passes.speed_up_small_passes(made.module, layers=False)
    assert not any(isinstance(layer, SmallLayer) for layer in layers(made))


def test_passes_that_are_not_ours_are_the_layers_own(monkeypatch):
    made = model()
    made.speed_up()
    ran = runs(monkeypatch)
    made.logits([1, 2, 3])
    made.module.generate(torch.tensor([[1, 2]]), max_new_tokens=2, do_sample=False)
    assert not ran
