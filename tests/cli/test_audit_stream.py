"""``spectheory audit --stream``: records with laws or a model, refusals, failures on the way."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

LOSSLESS = "spectheory.audit.sampler:rejection_sampler"


@pytest.fixture
def laws(saved):
    law = np.array([0.5, 0.5])
    return ["--target", saved("p", law), "--draft", saved("q", law)]


MODEL = """
import numpy as np
class Model:
    vocab_size = 4
    table = np.array([[4.0, 1, 1, 2], [1, 5, 1, 1], [2, 2, 2, 1], [1, 1, 6, 1]])
    def logits(self, tokens):
        return np.log(self.table[np.asarray(tokens)])
model = Model()
"""


@pytest.fixture
def stream(tmp_path):
    """``stream(share)``: a record of two-token steps in which that share of tokens is uniform."""
    (tmp_path / "model.py").write_text(MODEL)
    table = np.array([[4.0, 1, 1, 2], [1, 5, 1, 1], [2, 2, 2, 1], [1, 1, 6, 1]])
    laws = table / table.sum(axis=1, keepdims=True)

    def write(share, carried=False):
        rng, lines, last = np.random.default_rng(0), [], 0
        for step in range(1_000):
            tokens, targets = [], []
            for _ in range(2):
                targets.append(laws[last].tolist())
                mixed = (1 - share) * laws[last] + share / 4
                last = int(rng.choice(4, p=mixed))
                tokens.append(last)
            line = {"tokens": tokens, "drafted": 1}
            if carried:
                line["target"] = targets
            elif step == 0:
                line["prompt"] = [0]
            lines.append(json.dumps(line) + "\n")
        path = tmp_path / "stream.jsonl"
        path.write_text("".join(lines))
        return path

    return write


@pytest.mark.parametrize("carried", [False, True])
@pytest.mark.parametrize(("share", "code"), [(0.0, 0), (0.5, 1)])
def test_a_record_is_audited_with_its_laws_or_a_model(run, stream, tmp_path, carried, share, code):
    options = [] if carried else ["--model", f"{tmp_path}/model.py:model"]
    page = tmp_path / "stream.html"
    record = stream(share, carried)
    done = run("audit", "--stream", record, *options, "--json", "--report", page)
    assert done.code == code, done.err
    assert done.document["biased"] is bool(code)
    assert done.document["tokens"] == 2_000
    assert page.read_text().count("<svg") == 2


def test_a_resumed_record_is_reported_from_its_start(run, stream, tmp_path):
    options = ["--stream", stream(0.0), "--model", f"{tmp_path}/model.py:model"]
    options += ["--resume", tmp_path / "state"]
    pages = [tmp_path / "first.html", tmp_path / "again.html"]
    for page in pages:
        assert run("audit", *options, "--report", page).code == 0
    first, again = (page.read_text() for page in pages)
    drawn = re.findall("<!-- (.*?) -->", first.split("</svg>")[0])
    assert "mean" in drawn
    assert any(name.startswith("row ") for name in drawn)
    assert again == first
    assert "0.5" in run("audit", *options, "--temperature", 0.5).complaint


def test_sampling_parameters_apply_to_the_model_of_a_record(run, stream, tmp_path):
    options = ["--stream", stream(0.0), "--model", f"{tmp_path}/model.py:model"]
    assert run("audit", *options, "--temperature", 1).code == 0
    assert run("audit", *options, "--temperature", 0.5).code == 1
    assert run("audit", *options, "--top-k", 3).code == 1  # excludes tokens that occur


def test_a_record_and_a_sampler_do_not_mix(run, stream, laws):
    record = stream(0.0)
    assert "not both" in run("audit", LOSSLESS, "--stream", record).complaint
    assert "not both" in run("audit").complaint
    assert "--target" in run("audit", LOSSLESS).complaint
    assert "--target" in run("audit", "--stream", record, *laws).complaint
    assert "no such file" in run("audit", "--stream", "none.jsonl").complaint
    assert "`target`" in run("audit", "--stream", record).complaint
    named = run("audit", "--stream", record, "--model", "spectheory.audit.run:CHUNK")
    assert "vocab_size" in named.complaint


@pytest.mark.parametrize(
    "option",
    ["--max-draws 1000000", "--seed 0", "--logits", "--renormalise", "--acceptance any"],
)
def test_options_of_samplers_do_not_go_with_a_record(run, stream, tmp_path, option):
    record = ["--stream", stream(0.0, carried=True), *option.split()]
    for model in ([], ["--model", f"{tmp_path}/model.py:model"]):
        assert f"{option.split()[0]} goes with a sampler" in run("audit", *record, *model).complaint


@pytest.mark.parametrize("option", ["--temperature 0.5", "--top-k 3", "--top-p 0.9"])
def test_sampling_parameters_do_not_go_with_laws_that_a_record_carries(run, stream, option):
    record = ["--stream", stream(0.0, carried=True), *option.split()]
    assert (
        f"{option.split()[0]} applies to the laws of a --model" in run("audit", *record).complaint
    )


def test_a_model_does_not_go_with_a_sampler(run, laws):
    assert "--model goes with --stream" in run("audit", LOSSLESS, *laws, "--model", "m").complaint


def test_the_most_drafts_of_a_record(run, laws, tmp_path):
    """Each of 40 drafts is the certain next token; 20 or so are made a step, and all are taken."""
    lines = [
        {"tokens": [0] * (n + 1), "drafted": n, "target": [[1.0, 0.0]] * (n + 1), "expected": 21.0}
        for n in (10, 30, 20)
    ]
    path = tmp_path / "long.jsonl"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    assert "`most_drafts` 16" in run("audit", "--stream", path).complaint
    assert run("audit", "--stream", path, "--most-drafts", 40).code == 0
    assert "goes with --stream" in run("audit", LOSSLESS, *laws, "--most-drafts", 4).complaint


@pytest.mark.parametrize(("expected", "code"), [(3.0, 0), (2.5, 1)])
def test_lengths_that_are_not_as_stated_are_no_clean_exit(run, tmp_path, expected, code):
    """Each token is the certain next one, and two drafts a step are taken."""
    line = {"tokens": [0] * 3, "drafted": 2, "target": [[1.0, 0.0]] * 3, "expected": expected}
    path = tmp_path / "lengths.jsonl"
    path.write_text(f"{json.dumps(line)}\n" * 2_000)
    done = run("audit", "--stream", path, "--json")
    assert (done.document["biased"], done.document["length_off"]) == (False, bool(code))
    assert done.code == code


def test_laws_that_a_record_carries_are_not_the_models(run, stream, tmp_path):
    """The model's temperature is wrong for this record, and none of its laws is read."""
    options = ["--model", f"{tmp_path}/model.py:model", "--temperature", 0.5]
    assert run("audit", "--stream", stream(0.0, carried=True), *options).code == 0
    assert run("audit", "--stream", stream(0.0), *options).code == 1


@pytest.mark.parametrize(("share", "code"), [(0.9, 1), (0.0, 2)])
def test_a_torn_line_does_not_hide_a_bias_found_before_it(run, stream, share, code):
    record = stream(share, carried=True)
    whole = record.read_text()
    lines = whole.splitlines(keepends=True)
    record.write_text("".join(lines * (1 + 3_000 // len(lines))) + '{"tok')
    done = run("audit", "--stream", record)
    assert done.code == code
    assert "Cut off while writing?" in done.err
    assert ("Biased" in done.out) == (code == 1)


def test_tokens_that_rounding_may_leave_out_are_said_to_be(run, tmp_path):
    near = "class Model:\n    vocab_size = 2\n    def logits(self, tokens):\n"
    near += "        return np.tile([0, 1e-7], (len(tokens), 1))\n"
    (tmp_path / "near.py").write_text(f"import numpy as np\n{near}model = Model()\n")
    (tmp_path / "s.jsonl").write_text('{"prompt": [0], "tokens": [0]}\n')
    of_model = ["--stream", tmp_path / "s.jsonl", "--model", f"{tmp_path}/near.py:model"]
    done = run("audit", *of_model, "--temperature", 0)
    assert done.code == 1
    assert "by the rounding of another forward pass" in done.err
    assert "rounding" not in run("audit", *of_model).err


FAILURES = {
    "MemoryError('4 GiB')": "out of memory. 4 GiB",
    "type('OutOfMemoryError', (RuntimeError,), {})('CUDA')": "out of memory. CUDA",
    "RuntimeError('DefaultCPUAllocator: can\\'t allocate memory')": "out of memory. Default",
    "ImportError('no torch')": "no torch",
}


@pytest.mark.parametrize("error", FAILURES)
def test_a_model_that_fails_is_no_bias(run, stream, tmp_path, error):
    record = stream(0.0)
    fails = f"class Model:\n    vocab_size = 4\n    def logits(self, tokens): raise {error}\n"
    (tmp_path / "fails.py").write_text(fails + "model = Model()\n")
    done = run("audit", "--stream", record, "--model", f"{tmp_path}/fails.py:model")
    assert FAILURES[error] in done.complaint


@pytest.mark.parametrize("error", ["KeyError('a bug')", "SystemExit(1)", "SystemExit(0)"])
def test_a_bug_is_shown_and_is_no_bias(run, stream, tmp_path, error):
    record = stream(0.0)
    fails = f"class Model:\n    vocab_size = 4\n    def logits(self, tokens): raise {error}\n"
    (tmp_path / "fails.py").write_text(fails + "model = Model()\n")
    done = run("audit", "--stream", record, "--model", f"{tmp_path}/fails.py:model")
    assert (done.code, done.out) == (2, "")
    assert "Traceback" in done.err
    assert error.partition("(")[0] in done.err.splitlines()[-1]
