import io
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("torch")

COMMAND = ("generate", "def add(a, b):", "--new-tokens", "6", "--draft", "lookup")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "give a prompt or --prompt-file"),
        (("",), "`prompt` is empty"),
        (("text", "--device", "cuda:99"), "finds no CUDA GPU"),
        (("text", "--device", "nowhere"), "no torch device"),
        (("text", "--dtype", "float8"), "`--dtype` is 'float8'"),
        (("text", "--new-tokens", "0"), "not an integer >= 1"),
        (("text", "--target", "nothing"), "no model `nothing`"),
        (("text", "--rule", "nothing"), "no rule `nothing`"),
        (("text", "--executor", "torch"), "invalid choice: 'torch'"),
        (("text", "--rule", "block", "--executor", "batched"), "`block` does not have"),
    ],
)
def test_refusals_come_before_a_model_is_read(run, arguments, reason):
    import torch

    if "cuda:99" in arguments and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert reason in run("generate", *arguments).complaint


@pytest.mark.models
def test_a_text_of_a_real_model(run, smollm2):
    greedy = run(*COMMAND, "--temperature", "0", "--json")
    document = greedy.document
    assert len(document["tokens"]) == 6
    assert document["finish"] == "length"
    tokens = smollm2.encode("def add(a, b):")
    for token in document["tokens"]:
        assert token == int(np.argmax(smollm2.logits(tokens)[-1]))
        tokens = np.append(tokens, token)
    shown = run(*COMMAND, "--temperature", "0")
    assert shown.out == document["text"] + "\n"
    assert "6 tokens in" in shown.err
    asked = run("generate", "Hello", *COMMAND[2:], "--chat", "--json").document
    assert asked["tokens"] != run("generate", "Hello", *COMMAND[2:], "--json").document["tokens"]
    assert "no draft `exit`" in run(*COMMAND[:-1], "exit").complaint
    assert "has layers 1 to 30" in run(*COMMAND[:-1], "exit:31").complaint
    assert (
        "rule `recursive_without"
        in run(*COMMAND, "--rule", "recursive_without_replacement").complaint
    )


@pytest.mark.models
def test_ctrl_c_is_a_clean_stop(run, smollm2, monkeypatch):
    from spectheory.decoding.decoder import Decoder

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Decoder, "_advance", interrupted)
    for extra in ((), ("--json",)):
        stopped = run(*COMMAND, *extra)
        assert stopped.code == 130
        assert stopped.out.strip() == ""
        assert stopped.err.endswith("interrupted\n")


def test_standard_input_that_is_not_text(run, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"caf\xe9 "), encoding="utf-8"))
    assert "standard input, is not UTF-8 text" in run("generate", "-").complaint


@pytest.mark.parametrize(
    ("decoded", "shown"),
    [
        (["a", "a\ufffd", "aé", "aéb"], "aéb"),
        (["Hello ", "Hello,", "Hello, you"], "Hello , you"),  # a tokenizer that tidies blanks
        (["ab", "a", "abc"], "abc"),
    ],
)
def test_nothing_is_lost_where_the_decoding_of_a_tail_changes(capsys, decoded, shown):
    from spectheory.cli.generate import _stream

    emissions = [SimpleNamespace(tokens=[i], finish=None) for i in range(len(decoded))]
    emissions[-1].finish = "length"
    decoder = SimpleNamespace(stream=lambda _: iter(emissions))
    target = SimpleNamespace(decode=lambda tokens: decoded[len(tokens) - 1])
    _stream(decoder, target, None, shown=True)
    assert capsys.readouterr().out == f"{shown}\n"


def test_a_refusal_leaves_standard_output_empty(capsys):
    from spectheory.cli.generate import _stream
    from spectheory.errors import InputError

    def refused(_):
        raise InputError("a prompt that is too long")
        yield

    with pytest.raises(InputError):
        _stream(SimpleNamespace(stream=refused), None, None, shown=True)
    assert capsys.readouterr().out == ""
