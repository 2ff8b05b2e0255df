"""Answers of a server become a stream; the stream audit then sees what it should, and no more."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from spectheory.adapters import completions
from spectheory.adapters.completions import stream_lines, write_stream
from spectheory.audit.stream import StreamAudit
from spectheory.audit.stream_file import StreamFile
from spectheory.errors import InputError

SIZE, TOP, ALPHA = 40, 6, 1e-6
SHAPES = ["completions", "chat", "cut chat"]
"""Of the lists: with one entry more for a sampled token outside the top, or cut to TOP entries,
the sampled token first, as vLLM's chat answers are."""

TIED = np.exp(np.array([20, 19, 18.5, 18, 18, 18, 18, 18, 17, 17]) - 20)
"""Masses as 16-bit logits give them: five tokens tie for the last two places of a list of 5."""


def place(law: np.ndarray, token: int, top: int, shape: str) -> dict[str, float]:
    """What a server lists where it drew that token."""
    best = np.argsort(-law, kind="stable")[:top].tolist()
    listed = list(dict.fromkeys([token, *best]))[: top if shape == "cut chat" else None]
    return {f"token_id:{i}": float(np.log(law[i])) for i in listed}


def response(name: str, tokens: list[int], places: list[dict[str, float]], shape: str) -> dict:
    named = [f"token_id:{token}" for token in tokens]
    if shape == "completions":
        return {"id": name, "choices": [{"logprobs": {"tokens": named, "top_logprobs": places}}]}
    content = [
        {"token": token, "top_logprobs": [{"token": t, "logprob": v} for t, v in one.items()]}
        for token, one in zip(named, places, strict=True)
    ]
    return {"id": name, "choices": [{"logprobs": {"content": content}}]}


def answer(rng: np.random.Generator, number: int, length: int, shape: str, heat: float) -> dict:
    """A response that states the law p and samples from p ** heat."""
    tokens, places = [], []
    for _ in range(length):
        law = rng.dirichlet(np.full(SIZE, 0.4)) + 1e-9
        law /= law.sum()
        sampled = law**heat / (law**heat).sum()
        tokens.append(int(rng.choice(SIZE, p=sampled)))
        places.append(place(law, tokens[-1], TOP, shape))
    return response(f"cmpl-{number}", tokens, places, shape)


def audited(tmp_path, lines) -> StreamAudit:
    path = tmp_path / "stream.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    audit = StreamAudit(ALPHA)
    for steps in StreamFile(path).steps():
        audit.update(steps)
    return audit


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("heat", "biased"), [(1.0, False), (1.3, True)])
def test_a_server_that_samples_another_law_is_seen(tmp_path, shape, heat, biased):
    rng = np.random.default_rng(1)
    answers = [answer(rng, i, 40, shape, heat) for i in range(100)]
    responses = tmp_path / "answers.jsonl"
    responses.write_text("".join(json.dumps(one) + "\n" for one in answers))
    assert write_stream(responses, tmp_path / "stream.jsonl", SIZE, TOP) == 4_000
    audit = StreamAudit(ALPHA)
    for steps in StreamFile(tmp_path / "stream.jsonl").steps():
        audit.update(steps)
    assert audit.report().biased == biased


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("heat", "biased"), [(1.0, False), (1.3, True)])
def test_ties_for_the_last_places_are_no_bias_and_hide_none(tmp_path, shape, heat, biased):
    """A right server is called biased with a rate of at most 1e-6."""
    law = TIED / TIED.sum()
    sampled = law**heat / (law**heat).sum()
    tokens = np.random.default_rng(4).choice(len(law), 4_000, p=sampled).tolist()
    one = response("a", tokens, [place(law, token, 5, shape) for token in tokens], shape)
    lines = stream_lines([one], len(law), 5)
    assert audited(tmp_path, lines).report().biased == biased


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("step", [0.0, 0.5, 2.0])
def test_what_is_listed_is_the_same_whatever_was_drawn(shape, step):
    """Over all tokens that could be drawn, on laws without ties, with some, and with many."""
    rng = np.random.default_rng(5)
    for top in (3, 5, 12):
        for _ in range(20):
            logits = rng.normal(0, 2, 12)
            law = np.exp(step * np.round(logits / step) if step else logits)
            law /= law.sum()
            every = range(len(law))
            places = [place(law, token, top, shape) for token in every]
            _, *lines = stream_lines([response("a", [*every], places, shape)], len(law), top)
            assert [line["tokens"] for line in lines] == [[token] for token in every]
            (stated,) = {json.dumps(line["target"]) for line in lines}
            ids = json.loads(stated)[0]["ids"]
            if not step:
                wanted = top if shape == "completions" else top - 2
                assert ids == np.argsort(-law)[:wanted].tolist()


def test_listing_the_sampled_token_would_void_the_audit(tmp_path):
    """The control: kept in, the sampled token is never among "all others", and p looks wrong."""
    rng = np.random.default_rng(2)
    answers = [answer(rng, i, 40, "completions", 1.0) for i in range(60)]
    assert not audited(tmp_path, stream_lines(answers, SIZE, TOP)).report().biased
    kept = [{"vocab_size": SIZE}]
    for one in answers:
        logprobs = one["choices"][0]["logprobs"]
        for token, place in zip(logprobs["tokens"], logprobs["top_logprobs"], strict=True):
            ids = [int(name.partition(":")[2]) for name in place]
            law = {"ids": ids, "logprobs": list(place.values())}
            number = int(token.partition(":")[2])
            kept.append({"request": one["id"], "tokens": [number], "target": [law]})
    assert audited(tmp_path, kept).report().biased


@pytest.mark.parametrize(
    ("response", "words"),
    [
        ({"id": "a", "choices": [{"text": "hi"}]}, "has no log-probabilities"),
        (
            {"choices": [{"logprobs": {"tokens": ["a"], "top_logprobs": [{"a": -1.0}]}}]},
            "lists 1 tokens",
        ),
        (
            {"choices": [{"logprobs": {"tokens": ["a"], "top_logprobs": [{"a": -1, "b": -2}]}}]},
            "not named by its id",
        ),
        (response("a", [1], [dict.fromkeys("abcd", -1.0)], "completions"), "lists 4 tokens"),
        (response("a", [1], [dict.fromkeys("abc", -1.0)], "completions"), "Were 3 asked for"),
        (
            response("a", [1], [{"token_id:1": -1.0, "b": -2.0, "c": -3.0}], "completions"),
            "not the least probable",
        ),
        (response("a", [1], [{"token_id:1": -1.0, "b": -2.0}], "chat"), "ask for 3 or more"),
        (response("a", [1], [{"token_id:1": None, "b": -2.0}], "completions"), "states None for"),
        (response("a", [1, 2], [None, {"b": -2.0}], "completions"), "for some of its tokens"),
        (response("a", [1, 2], [{"b": -2.0}], "completions"), "for some of its tokens"),
    ],
)
def test_bad_answers_are_named(response, words):
    with pytest.raises(InputError, match=words):
        list(stream_lines([response], SIZE, 2))


def test_a_list_of_no_tokens_is_refused():
    with pytest.raises(InputError, match="`top` is 0"):
        list(stream_lines([], SIZE, 0))


def test_the_command(tmp_path, monkeypatch, capsys):
    answers = tmp_path / "answers.jsonl"
    one = answer(np.random.default_rng(3), 0, 5, "chat", 1.0)
    answers.write_text(json.dumps(one) + "\n")
    stream = tmp_path / "stream.jsonl"
    options = ["--vocab-size", str(SIZE), "--top", str(TOP)]
    monkeypatch.setattr(sys, "argv", ["completions", str(answers), str(stream), *options])
    completions.main()
    assert capsys.readouterr().out.startswith("5 tokens")
    assert len(stream.read_text().splitlines()) == 6
    answers.write_text("{")
    with pytest.raises(SystemExit) as left:
        completions.main()
    assert left.value.code == 2
    assert "line 1 is not JSON" in capsys.readouterr().err
