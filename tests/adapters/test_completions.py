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


def answer(rng: np.random.Generator, number: int, length: int, chat: bool, heat: float) -> dict:
    """A response that states the law p and samples from p ** heat."""
    tokens, places = [], []
    for _ in range(length):
        law = rng.dirichlet(np.full(SIZE, 0.4)) + 1e-9
        law /= law.sum()
        sampled = law**heat / (law**heat).sum()
        token = int(rng.choice(SIZE, p=sampled))
        listed = {*np.argsort(-law)[:TOP].tolist(), token}  # as servers do
        tokens.append(f"token_id:{token}")
        places.append({f"token_id:{i}": float(np.log(law[i])) for i in sorted(listed)})
    if not chat:
        logprobs = {"tokens": tokens, "top_logprobs": places}
    else:
        logprobs = {
            "content": [
                {
                    "token": token,
                    "top_logprobs": [{"token": t, "logprob": v} for t, v in place.items()],
                }
                for token, place in zip(tokens, places, strict=True)
            ]
        }
    return {"id": f"cmpl-{number}", "choices": [{"logprobs": logprobs}]}


def audited(tmp_path, lines) -> StreamAudit:
    path = tmp_path / "stream.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    audit = StreamAudit(ALPHA)
    for steps in StreamFile(path).steps():
        audit.update(steps)
    return audit


@pytest.mark.parametrize("chat", [False, True])
@pytest.mark.parametrize(("heat", "biased"), [(1.0, False), (1.3, True)])
def test_a_server_that_samples_another_law_is_seen(tmp_path, chat, heat, biased):
    rng = np.random.default_rng(1)
    answers = [answer(rng, i, 40, chat, heat) for i in range(100)]
    responses = tmp_path / "answers.jsonl"
    responses.write_text("".join(json.dumps(one) + "\n" for one in answers))
    assert write_stream(responses, tmp_path / "stream.jsonl", SIZE, TOP) == 4_000
    audit = StreamAudit(ALPHA)
    for steps in StreamFile(tmp_path / "stream.jsonl").steps():
        audit.update(steps)
    assert audit.report().biased == biased


def test_listing_the_sampled_token_would_void_the_audit(tmp_path):
    """The control: kept in, the sampled token is never among "all others", and p looks wrong."""
    rng = np.random.default_rng(2)
    answers = [answer(rng, i, 40, False, 1.0) for i in range(60)]
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
    ],
)
def test_bad_answers_are_named(response, words):
    with pytest.raises(InputError, match=words):
        list(stream_lines([response], SIZE, 2))


def test_the_command(tmp_path, monkeypatch, capsys):
    answers = tmp_path / "answers.jsonl"
    one = answer(np.random.default_rng(3), 0, 5, True, 1.0)
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
