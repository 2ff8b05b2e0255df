"""Streams as JSON lines: what is written is read, lists of top tokens, models, kills, bad lines."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from spectheory.audit import stream_file
from spectheory.audit.stream import StreamAudit
from spectheory.audit.stream_file import StreamFile, write_steps
from spectheory.audit.stream_run import audit_stream
from spectheory.distributions import top_k
from spectheory.errors import InputError, ModelFailure
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


def test_a_second_prompt_under_one_key_is_refused(tmp_path):
    """A slot of a batch that is used again is another request, with a text of its own."""

    class Coin:
        vocab_size = 2

        def logits(self, tokens):
            return np.zeros((len(tokens), 2))

    lines = [{"prompt": [0], "tokens": [1]}, {"prompt": [1, 1], "tokens": [0]}]
    path = write(tmp_path / "s.jsonl", *lines)
    with pytest.raises(InputError, match="line 2 holds a `prompt`, but its request has begun"):
        list(StreamFile(path, Coin()).steps())
    apart = [line | {"request": i} for i, line in enumerate(lines)]
    assert list(StreamFile(write(path, *apart), Coin()).steps())


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


class Coin:
    """A model over two tokens, both equally likely after any text; keeps what it was asked for."""

    vocab_size = 2

    def __init__(self):
        self.texts = []

    def logits(self, tokens):
        self.texts.append(tokens.tolist())
        return np.zeros((len(tokens), 2))


def test_a_law_on_a_line_goes_before_the_models(tmp_path):
    law = [0.25, 0.75]
    path = write(
        tmp_path / "s.jsonl",
        {"request": "a", "prompt": [0, 1], "tokens": [1, 1], "drafted": 1, "target": [law, law]},
        {"request": "b", "tokens": [0], "target": [law]},
        {"request": "a", "tokens": [0]},
        {"request": "a", "tokens": [1], "target": [law]},
    )
    model = Coin()
    (steps,) = StreamFile(path, model).steps()
    assert steps.target[:, 0].tolist() == [law, law, [0.5, 0.5], law]
    assert model.texts == [[0, 1, 1, 1, 0, 1]]  # not b's, which has no prompt and needs none
    write(path, *map(json.loads, path.read_text().splitlines()), {"request": "b", "tokens": [1]})
    with pytest.raises(InputError, match="line 5 needs `target`, or a `prompt`"):
        list(StreamFile(path, model).steps())


def test_a_models_laws_beside_lists(tmp_path):
    law = {"ids": [1], "logprobs": [float(np.log(0.75))]}
    path = write(
        tmp_path / "s.jsonl",
        {"vocab_size": 2},
        {"prompt": [0], "tokens": [0]},
        {"tokens": [0], "target": [law]},
    )
    (steps,) = StreamFile(path, Coin()).steps()
    assert np.abs(steps.target[:, 0] - [[0.5, 0.5, 0], [0, 0.75, 0.25]]).max() < 1e-12
    assert steps.tokens.tolist() == [[0], [2]]


def test_of_a_models_laws_only_those_needed_are_made(tmp_path):
    """The model reads 99 tokens of text again with each line; two of its laws are new."""
    lines = [{"prompt": [0] * 99, "tokens": [1]}, *[{"tokens": [1, 0], "drafted": 1}] * 3]
    path = write(tmp_path / "s.jsonl", *lines)
    made = []

    def process(laws):
        made.append(len(laws))
        return laws

    (steps,) = StreamFile(path, Coin(), process).steps()
    assert made == [1, 2, 2, 2]
    assert steps.target.sum(axis=-1).tolist() == [[1, 0], [1, 1], [1, 1], [1, 1]]


def test_a_model_whose_logits_are_of_another_shape_is_refused(tmp_path):
    path = write(tmp_path / "s.jsonl", {"prompt": [0], "tokens": [1]})
    model = Coin()
    model.logits = lambda tokens: np.zeros(2)
    with pytest.raises(ModelFailure, match=r"shape \(2,\) for 2 tokens; expected \(2, 2\)"):
        list(StreamFile(path, model).steps())


@pytest.mark.parametrize("lengths", [[1] * 40, [1] * 9 + [7] + [1] * 9, [30, 1, 30]])
def test_a_batch_holds_few_probabilities_from_the_first_on(tmp_path, monkeypatch, lengths):
    """No more than ten laws over 100 tokens, unless a single line holds more."""
    monkeypatch.setattr(stream_file, "CELLS", 1_000)
    law = [0.01] * 100
    lines = [{"tokens": [3] * n, "drafted": n - 1, "target": [law] * n} for n in lengths]
    batches = list(StreamFile(write(tmp_path / "s.jsonl", *lines)).steps())
    assert np.concatenate([steps.counts for steps in batches]).tolist() == lengths
    assert all(steps.target.size <= 1_000 or len(steps.counts) == 1 for steps in batches)


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


def test_a_rare_token_behind_a_rounded_list_is_no_verdict(tmp_path):
    """Rounded to four places the two logarithms sum to 1.000013; the third token has 2e-5."""
    law = {"ids": [0, 1], "logprobs": [-0.5100, -0.9175]}
    assert np.exp(law["logprobs"]).sum() > 1
    tokens = np.random.default_rng(0).choice(3, 20_000, p=[0.600466, 0.399514, 2e-5])
    assert (tokens == 2).any()
    lines = [{"tokens": [t], "target": [law]} for t in tokens.tolist()]
    path = write(tmp_path / "s.jsonl", {"vocab_size": 3}, *lines)
    report = last(audit_stream(path, 1e-3))
    assert (report.impossible, report.biased) == (0, False)
    # Were it one in a hundred, the list would be wrong.
    lines[::100] = [{"tokens": [2], "target": [law]}] * 200
    assert last(audit_stream(write(tmp_path / "s.jsonl", {"vocab_size": 3}, *lines), 1e-3)).biased
    # A list of all tokens does rule them out.
    whole = {"ids": [0, 1, 2], "logprobs": [-0.5100, -0.9175, -1e9]}
    lines = [{"tokens": [2], "target": [whole]}]
    found = last(audit_stream(write(tmp_path / "s.jsonl", {"vocab_size": 3}, *lines), 1e-3))
    assert (found.impossible, found.biased) == (1, True)


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
        ('{"tokens": [1], "target": 5}', "line 2 holds a `target` that is no list of laws"),
        ('{"tokens": [1], "target": {"ids": [0]}}', "line 2 holds a `target` that is no list"),
        ('{"tokens": [1], "target": [["a", "b"]]}', "line 2 holds a law that is no list"),
        ('{"tokens": [1], "target": [[0.5, [0.5]]]}', "line 2 holds a law that is no list"),
        ('{"tokens": [1], "target": [[0.5, null]]}', "line 2 holds a law that is no list"),
        ('{"tokens": [1], "target": [[]]}', "line 2 holds a law that is no list"),
        ('{"tokens": [1], "target": [[NaN, 0.5]]}', "sums to nan"),
        ('{"tokens": [1], "target": [[Infinity, -Infinity]]}', "sums to nan"),
        ('{"tokens": [1], "target": [[-3, 4]]}', "`target` that sums to 1, or a negative"),
        ('{"tokens": [-1], "target": [[0.5, 0.5]]}', "line 2 holds token -1"),
        ('{"tokens": [1], "drafted": 1e9, "target": [[0.5, 0.5]]}', "`drafted` = 1000000000.0"),
        ('{"tokens": [1], "target": [[0.5, 0.5]], "request": [1]}', "line 2 holds `request`"),
        ('{"tokens": [1], "target": [[0.5, 0.5]], "batch": NaN}', "line 2 holds `batch` = nan"),
        ('{"tokens": [1], "target": [[0.5, 0.5]], "batch": 2.7}', "line 2 holds `batch` = 2.7"),
        ('{"tokens": [1], "target": [[0.5, 0.5]], "batch": 0}', "line 2 holds `batch` = 0"),
        ('{"tokens": [1], "target": [[0.5, 0.5]], "expected": 0.5}', "tokens, 1 or more"),
        ('{"tokens": [1], "target": [[0.5, 0.5]], "expected": NaN}', "line 2 holds `expected`"),
        ('{"vocab_size": 2}', "line 2 states `vocab_size`, which is for the first line"),
    ],
)
def test_bad_lines_are_named(tmp_path, line, message):
    path = tmp_path / "s.jsonl"
    path.write_text(json.dumps(GOOD) + "\n" + line + "\n")
    with pytest.raises(InputError, match=message):
        list(audit_stream(path))


@pytest.mark.parametrize(
    ("draft", "message"),
    [
        ("5", "line 2 holds a `draft` that is no list of laws"),
        ("[[-3, 4]]", "line 2 holds a `draft` that sums to 1, or a negative entry"),
        ("[[0.5, 0.4]]", "line 2 holds a `draft` that sums to 0.9"),
        ("[[0.5, 0.25, 0.25]]", "a law over 3 tokens; expected 2"),
        ("[[0.5, 0.5], [0.5, 0.5]]", "line 2 holds 2 laws in `draft` with `drafted` = 1"),
    ],
)
def test_bad_drafts_are_named(tmp_path, draft, message):
    path = tmp_path / "s.jsonl"
    line = '{"tokens": [1], "drafted": 1, "target": [[0.5, 0.5]], "draft": ' + draft + "}\n"
    path.write_text(json.dumps(GOOD) + "\n" + line)
    with pytest.raises(InputError, match=message):
        list(audit_stream(path))


@pytest.mark.parametrize("size", ['"abc"', "null", "-5", "0", "2.0", "true", "1e400"])
def test_a_vocabulary_of_no_size_is_refused(tmp_path, size):
    (tmp_path / "s.jsonl").write_text('{"vocab_size": ' + size + "}\n" + json.dumps(GOOD) + "\n")
    with pytest.raises(InputError, match="line 1 states `vocab_size`"):
        list(audit_stream(tmp_path / "s.jsonl"))


@pytest.mark.parametrize(
    ("ids", "logprobs", "message"),
    [
        ("[5]", "[-1]", "holds token 5 in a list; the vocabulary has 0 to 4"),
        ("[-1]", "[-1]", "holds token -1 in a list"),
        ("[1, 1]", "[-1, -1]", "one of them twice"),
        ("[1, 2]", "[-0.1, -0.1]", "lists tokens with mass 1.8"),
        ("[1]", "[1e9]", "lists tokens with mass inf"),
        ("[1]", "[NaN]", "lists tokens with mass nan"),
        ("[1.5]", "[-1]", "a list of tokens that is none"),
        ("[1]", "[-1, -2]", "a list of tokens that is none"),
        ("[1]", '["-1"]', "a list of tokens that is none"),
        ("null", "[-1]", "a list of tokens that is none"),
    ],
)
def test_bad_lists_are_named(tmp_path, ids, logprobs, message):
    law = '{"ids": ' + ids + ', "logprobs": ' + logprobs + "}"
    line = '{"tokens": [1], "target": [' + law + "]}\n"
    (tmp_path / "s.jsonl").write_text('{"vocab_size": 5}\n' + line)
    with pytest.raises(InputError, match=f"line 2 .*{message}"):
        list(audit_stream(tmp_path / "s.jsonl"))


def test_a_list_of_no_tokens_says_nothing(tmp_path):
    law = {"ids": [], "logprobs": []}
    path = write(tmp_path / "s.jsonl", {"vocab_size": 2}, {"tokens": [1], "target": [law]})
    (steps,) = StreamFile(path).steps()
    assert (steps.tokens.tolist(), steps.target.tolist()) == ([[2]], [[[0, 0, 1]]])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"tokens": [1], "prompt": 5}', "line 1 holds `prompt` = 5; expected a list"),
        ('{"tokens": [1], "prompt": [0.5]}', "line 1 holds `prompt`"),
        ('{"tokens": [1], "prompt": [-1]}', "line 1 holds token -1 in its `prompt`"),
        ('{"tokens": [7], "prompt": [0]}', "line 1 holds token 7; the vocabulary has 0 to 1"),
        ('{"tokens": [-1], "prompt": [0]}', "line 1 holds token -1"),
        ('{"tokens": [1], "prompt": [0], "target": []}', "line 1 needs `target`"),
        ('{"vocab_size": 3}', "line 1 states `vocab_size` 3; the model has 2"),
    ],
)
def test_lines_that_a_model_cannot_read_are_named_before_it_does(tmp_path, line, message):
    (tmp_path / "s.jsonl").write_text(line + "\n")
    model = Coin()
    with pytest.raises(InputError, match=message):
        list(audit_stream(tmp_path / "s.jsonl", model=model))
    assert model.texts == []


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


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_file_whose_last_line_had_no_end_is_continued(tmp_path, end):
    path, state = tmp_path / "s.jsonl", tmp_path / "state"
    line = json.dumps(GOOD)
    path.write_bytes(end.join([line] * 3).encode())
    assert last(audit_stream(path, state=state)).steps == 3
    path.write_bytes((end.join([line] * 5) + end).encode())
    assert last(audit_stream(path, state=state)).steps == 5
    path.write_bytes(end.join(['{"tokens": [0], "target": [[0.5, 0.5]]}', *[line] * 9]).encode())
    with pytest.raises(InputError, match="not the file"):
        list(audit_stream(path, state=state))


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
