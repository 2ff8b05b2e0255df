"""``spectheory logits``: the file it writes, and using it."""

from __future__ import annotations

import numpy as np
import pytest

SMALL = ("--prompts", "random", "--limit", "2", "--positions", "5")


def test_file_holds_logits_that_the_other_commands_read(run, saved, tmp_path):
    out = tmp_path / "logged.npz"
    done = run("logits", "tabular", "--out", out, *SMALL, "--json")
    assert (done.code, done.err) == (0, "")
    document = done.document
    assert document["file"] == str(out)
    assert document["positions"] == 5
    assert document["drafts"] == ["order:1", "order:0"]
    assert not list(tmp_path.glob(".*"))
    with np.load(out, allow_pickle=False) as file:
        target, draft = file["target"], file["draft_0"]
        assert {"prompt", "position", "next_token", "draft_1"} <= set(file.files)
    assert target.shape == draft.shape == (5, document["vocab_size"])
    p, q = (np.exp(a.astype(np.float64)) for a in (target, draft))
    p, q = (a / a.sum(axis=-1, keepdims=True) for a in (p, q))
    used = run("optimum", saved("p", target), saved("q", draft), "--k", 1, "--logits", "--json")
    assert (used.code, used.err) == (0, "")
    assert used.document["values"] == pytest.approx(np.minimum(p, q).sum(axis=-1), abs=1e-12)


def test_seed_decides_the_file(run, tmp_path):
    def target(name, seed):
        path = tmp_path / f"{name}.npz"
        assert run("logits", "tabular", "--out", path, *SMALL, "--seed", seed).code == 0
        with np.load(path, allow_pickle=False) as file:
            return file["target"]

    first = target("a", 1)
    assert np.array_equal(target("b", 1), first)
    assert not np.array_equal(target("c", 2), first)


def test_text_names_the_file(run, tmp_path):
    done = run("logits", "tabular", "--out", tmp_path / "a.npz", *SMALL)
    assert (done.code, done.err) == (0, "")
    (line,) = done.out.splitlines()
    assert line.startswith(f"{tmp_path / 'a.npz'}: 5 positions")


@pytest.mark.parametrize(
    ("out", "more", "word"),
    [
        ("a.npy", (), ".npz"),
        ("none/a.npz", (), "folder"),
        ("a.npz", ("--positions", "0"), "--positions"),
        ("a.npz", ("--positions", "100000"), "positions"),
        ("a.npz", ("--prompts", ""), "prompts"),
        ("a.npz", ("--prompt-file", "/nonexistent/prompts.txt"), "--prompt-file"),
    ],
)
def test_bad_input_is_refused_in_one_line(run, tmp_path, out, more, word):
    complaint = run("logits", "tabular", "--out", tmp_path / out, *SMALL, *more, "--json").complaint
    assert word in complaint
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xff\xfe\xff"])
def test_prompt_file_without_text_is_refused(run, tmp_path, content):
    prompts = tmp_path / "prompts.txt"
    prompts.write_bytes(content)
    done = run("logits", "tabular", "--out", tmp_path / "a.npz", "--prompt-file", prompts)
    assert "--prompt-file" in done.complaint


def test_unknown_pair_is_refused(run, tmp_path):
    assert "nonsense" in run("logits", "nonsense", "--out", tmp_path / "a.npz").complaint
