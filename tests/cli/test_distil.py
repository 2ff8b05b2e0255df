import json

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")

from spectheory.cli.distil import LOSSES  # noqa: E402
from spectheory.decoding import distil_losses  # noqa: E402


@pytest.fixture
def model(tmp_path):
    """The folder of a tiny random Llama over letters."""
    torch.manual_seed(0)
    vocabulary = {letter: i for i, letter in enumerate("abcdefghijklmnopqrstuvwxyz \n")}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(vocabulary, []))
    config = transformers.LlamaConfig(
        vocab_size=28,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=64,
        tie_word_embeddings=True,
        initializer_range=0.3,
        eos_token_id=None,
    )
    folder = tmp_path / "tiny"
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder)
    return folder


@pytest.fixture
def sources(tmp_path):
    for name in ("seen", "unseen"):
        (tmp_path / name).write_text(f"{name} words on lines\nand more of them\n" * 20)
    return "--prompts", tmp_path / "seen", "--held-out", tmp_path / "unseen"


SMALL = ("--texts", "4", "--held-out-texts", "3", "--prompt-tokens", "5", "--new-tokens", "8")


def test_losses_are_those_there_are():
    assert tuple(distil_losses.LOSSES) == LOSSES


def test_distils_and_the_drafter_drafts(run, model, sources, tmp_path):
    folder = tmp_path / "drafter"
    command = ("distil", folder, "--target", model, *sources, *SMALL, "--steps", "4")
    document = run(*command, "--layers=0,-1", "--loss", "kl", "--json").document
    assert document["plan"]["recipe"] == {"layers": [0, 2], "rank": None, "follows": False}
    assert document["held_out_acceptance"]["positions"] == 24
    assert 0 < document["held_out_acceptance"]["mean"] < 1
    assert document == {
        key: value
        for key, value in json.loads((folder / "card.json").read_text()).items()
        if key != "recipe"
    }
    shown = run(*command, "--layers=0,-1", "--loss", "kl")  # all done already: nothing is trained
    assert shown.code == 0
    assert f"{document['held_out_acceptance']['mean']:.3f}" in shown.out
    made = run(
        "generate",
        "some words",
        "--target",
        model,
        "--draft",
        f"distil:{folder}",
        "--new-tokens",
        "12",
        "--json",
    ).document
    assert len(made["tokens"]) == 12
    assert "other settings" in run(*command, "--layers=0,-1").complaint


def test_an_adapter(run, model, sources, tmp_path):
    folder = tmp_path / "adapter"
    document = run(
        "distil",
        folder,
        "--target",
        model,
        *sources,
        *SMALL,
        "--steps",
        "3",
        "--adapter",
        "2",
        "--rank",
        "4",
        "--tokens",
        "20",
        "--json",
    ).document
    assert document["plan"]["recipe"] == {"layers": [0, 1], "rank": 4, "follows": False}
    assert document["parameters"] == 16 + 2 * 16 * 4


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--layers", "0,x"), "'0,x' is not a list of integers"),
        (("--layers", "0,9"), "has layers 0 to 2"),
        (("--adapter", "4"), "has layers 0 to 2"),
        (("--rank", "4"), "`--rank` is of an adapter"),
        (("--adapter", "2", "--layers=0,1"), "give it or `--layers`"),
        (("--follow", "--adapter", "2"), "`--adapter` stops inside the target"),
        (("--passes", "0"), "--passes"),
        (("--tokens", "29"), "`tokens` is 29; expected 1 to 28"),
        (("--prompts", "a,,b"), "not a list of names"),
        (("--prompts", "mtbench"), "trained on and held out"),
        (("--loss", "l2"), "invalid choice: 'l2'"),
        (("--device", "nowhere"), "no torch device"),
    ],
)
def test_refusals(run, model, tmp_path, arguments, reason):
    assert reason in run("distil", tmp_path / "out", "--target", model, *arguments).complaint
    assert not (tmp_path / "out").exists()
