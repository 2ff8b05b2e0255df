"""Streams as JSON lines: what is written is read, lists of top tokens, models, kills, bad lines."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from spectheory.audit.stream import StreamAudit
from spectheory.audit.stream_file import StreamFile, write_steps
from spectheory.audit.stream_run import audit_stream
from spectheory.distributions import top_k
from spectheory.errors import InputError
from spectheory.zoo.entry import entry


def some_steps(key="bonus_from_draft", requests=20, steps=10, seed=0):
    return list(entry(key).decode(requests, steps, seed))


def last(reports):
    *_, report = reports
    return report


def write(path, *lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_what_is_written_is_read(tmp_path):
    steps = some_steps()
    assert write_steps(tmp_path / "s.jsonl", steps) == 200
    (read,) = StreamFile(tmp_path / "s.jsonl").steps()
    assert read.check().counts.tolist() == np.concatenate([s.counts for s in steps]).tolist()
    emitted = np.arange(read.tokens.shape[1]) < read.counts[:, None]
    for name in ("tokens", "target"):
        written = np.concatenate([getattr(s, name) for s in steps])[:, : emitted.shape[1]]
        assert np.abs(getattr(read, name)[emitted] - written[emitted]).max() < 1e-12
    assert np.abs(read.expected - np.concatenate([s.expected for s in steps])).max() < 1e-12


def test_a_file_is_audited_like_its_steps(tmp_path):
    steps = some_steps(steps=60)
    write_steps(tmp_path / "s.jsonl", steps)
    report = last(audit_stream(tmp_path / "s.jsonl"))
    direct = StreamAudit(1e-3)
    for some in steps:
        direct.update(some)
    assert report.tokens == direct.report().tokens
    assert report.biased
    assert direct.biased
    assert report.length_excess == pytest.approx(direct.report().length_excess)


def test_a_model_fills_in_the_laws(tmp_path):
    """The table model, teacher-forced over interleaved requests, gives the laws that were left
    out."""
    one = entry("in_place_replacement")
    model, _ = one.models()
    steps = list(one.decode(5, 30, seed=1))
    rng = np.random.default_rng(1)
    start = rng.integers(0, model.vocab_size, (5, model.order))  # as the loop draws it
    write_steps(tmp_path / "laws.jsonl", steps)
    lines = [json.loads(line) for line in (tmp_path / "laws.jsonl").read_text().splitlines()]
    for number, line in enumerate(lines):
        del line["target"]
        if number < 5:
            line["prompt"] = start[number].tolist()
    write(tmp_path / "bare.jsonl", *lines)
    with_laws = list(StreamFile(tmp_path / "laws.jsonl").steps())
    forced = list(StreamFile(tmp_path / "bare.jsonl", model).steps())
    for a, b in zip(with_laws, forced, strict=True):
        emitted = np.arange(a.tokens.shape[1]) < a.counts[:, None]
        assert np.abs(a.target[emitted] - b.target[emitted]).max() < 1e-12
    cut = StreamFile(tmp_path / "bare.jsonl", model, lambda laws: top_k(laws, 2))
    (first, *_) = cut.steps()
    assert ((first.target > 0).sum(axis=-1)[first.target.sum(axis=-1) > 0] == 2).all()


def test_lists_of_top_tokens_coarsen_the_law(tmp_path):
    law = {"ids": [4, 1], "logprobs": [float(np.log(0.5)), float(np.log(0.3))]}
    path = write(
        tmp_path / "s.jsonl",
        {"vocab_size": 6},
        {
            "tokens": [4, 2],
            "drafted": 1,
            "target": [law, law],
            "draft": [[0.1, 0.2, 0, 0, 0.6, 0.1]],
        },
    )
    (steps,) = StreamFile(path).steps()
    assert steps.tokens.tolist() == [[4, 6]]  # 2 is not listed
    assert np.abs(steps.target[0, 0] - [0, 0.3, 0, 0, 0.5, 0, 0.2]).max() < 1e-12
    assert np.abs(steps.draft[0, 0] - [0, 0.2, 0, 0, 0.6, 0, 0.2]).max() < 1e-12


def test_an_audit_on_lists_sees_a_bias_and_lets_a_right_stream_pass(tmp_path):
    p = np.array([0.4, 0.3, 0.2, 0.06, 0.04])
    law = {"ids": [0, 1], "logprobs": np.log(p[:2]).tolist()}
    rng = np.random.default_rng(0)
    verdicts = []
    for drawn in (p, np.array([0.46, 0.24, 0.2, 0.06, 0.04])):
        tokens = rng.choice(5, 6_000, p=drawn).tolist()
        lines = [{"tokens": [t], "target": [law]} for t in tokens]
        path = write(tmp_path / "s.jsonl", {"vocab_size": 5}, *lines)
        verdicts.append(last(audit_stream(path, 1e-6)).biased)
    assert verdicts == [False, True]


GOOD = {"tokens": [1], "target": [[0.5, 0.5]]}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2 is not JSON"),
        ("[1]", "line 2 is not an object"),
        ('{"tokens": []}', "line 2 needs `tokens`"),
        ('{"tokens": [1]}', "line 2 needs `target`"),
        ('{"tokens": [1, 0], "target": [[0.5, 0.5], [0.5, 0.5]]}', "`drafted` = 0"),
        ('{"tokens": [2], "target": [[0.5, 0.5]]}', "line 2 holds token 2"),
        ('{"tokens": [1], "target": [[0.5, 0.4]]}', "line 2 holds a `target` that sums to 0.9"),
        ('{"tokens": [1], "target": [[0.5, 0.25, 0.25]]}', "a law over 3 tokens; expected 2"),
        ('{"tokens": [1], "target": ["half"]}', "no list of probabilities"),
        ('{"tokens": [1], "target": [{"ids": [0], "logprobs": [0]}]}', "vocab_size"),
        (
            '{"tokens": [1], "target": [[0.5, 0.5]], "batch": 3}',
            "line 1 needs a number for `batch`",
        ),
    ],
)
def test_bad_lines_are_named(tmp_path, line, message):
    path = tmp_path / "s.jsonl"
    path.write_text(json.dumps(GOOD) + "\n" + line + "\n")
    with pytest.raises(InputError, match=message):
        list(audit_stream(path))


def test_an_empty_file_and_a_missing_prompt_are_refused(tmp_path):
    (tmp_path / "s.jsonl").write_text("\n")
    with pytest.raises(InputError, match="no steps"):
        list(audit_stream(tmp_path / "s.jsonl"))
    model, _ = entry("bonus_from_draft").models()
    write(tmp_path / "s.jsonl", {"tokens": [1]})
    with pytest.raises(InputError, match="prompt"):
        list(audit_stream(tmp_path / "s.jsonl", model=model))


def test_a_state_of_another_file_or_rate_is_refused(tmp_path):
    write_steps(tmp_path / "a.jsonl", some_steps())
    write_steps(tmp_path / "b.jsonl", some_steps(seed=9))
    list(audit_stream(tmp_path / "a.jsonl", state=tmp_path / "state"))
    with pytest.raises(InputError, match="not the file"):
        list(audit_stream(tmp_path / "b.jsonl", state=tmp_path / "state"))
    with pytest.raises(InputError, match="at rate"):
        list(audit_stream(tmp_path / "a.jsonl", 0.5, state=tmp_path / "state"))
    (tmp_path / "state").write_text("{}")
    with pytest.raises(InputError, match="not the state"):
        list(audit_stream(tmp_path / "a.jsonl", state=tmp_path / "state"))


def test_a_file_that_grew_is_continued(tmp_path):
    write_steps(tmp_path / "whole.jsonl", some_steps(steps=60))
    lines = (tmp_path / "whole.jsonl").read_text().splitlines(keepends=True)
    path, state = tmp_path / "s.jsonl", tmp_path / "state"
    path.write_text("".join(lines[:1024]))  # a whole chunk
    list(audit_stream(path, state=state))
    path.write_text("".join(lines))
    assert last(audit_stream(path, state=state)) == last(audit_stream(tmp_path / "whole.jsonl"))


SCRIPT = """
import sys, time
from pathlib import Path
from spectheory.audit.stream_run import audit_stream
for report in audit_stream(Path(sys.argv[1]), state=Path(sys.argv[2])):
    time.sleep(0.2)
"""


def test_killed_it_goes_on_with_nothing_lost(tmp_path):
    path, state = tmp_path / "s.jsonl", tmp_path / "state"
    write_steps(path, some_steps(requests=100, steps=60))
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(path), str(state)])
    give_up = time.monotonic() + 60
    while not state.exists() and time.monotonic() < give_up:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert 0 < json.loads(state.read_text())["lines"] < 6_000
    assert last(audit_stream(path, state=state)) == last(audit_stream(path))
