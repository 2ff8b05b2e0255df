"""Exit codes and streams of the command line as a whole."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from spectheory import __version__
from spectheory.cli import COMMANDS, main
from spectheory.errors import (
    ChecksumMismatch,
    InputError,
    MissingDependency,
    ModelFailure,
    SourceUnavailable,
)

ROOT = Path(__file__).parents[2]


def process(*arguments: object, **settings) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "spectheory.cli", *map(str, arguments)]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120, **settings
    )


@pytest.fixture
def failing(monkeypatch):
    """``failing(error)``: the command `rules` raises it."""

    def patch(error: BaseException) -> None:
        def run(options):
            raise error

        monkeypatch.setattr(importlib.import_module("spectheory.cli.rules"), "run", run)

    return patch


def test_module_prints_one_document(saved):
    files = saved("p", [0.5, 0.3, 0.2]), saved("q", [0.2, 0.3, 0.5])
    done = process("optimum", *files, "--k", 2, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["value"] == pytest.approx(0.86)


def test_module_refuses_in_one_line(saved):
    done = process("compare", saved("p", [0.5, 0.6]), saved("q", [0.5, 0.5]), "--k", "2", "--json")
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert "target" in done.stderr


def test_module_refuses_infinities_without_a_warning(saved):
    """NumPy's warnings are lines of their own unless silenced; here none is an error."""
    law = saved("p", [float("inf"), float("-inf"), 1.0])
    done = process("optimum", law, law, "--k", "1")
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1


def test_reader_that_goes_away_is_no_traceback():
    process = subprocess.Popen(
        [sys.executable, "-m", "spectheory.cli", "rules", "--json"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    with process.stderr as errors:
        assert errors.read() == b""
    assert process.wait(timeout=120) == 141


PARTS = {"bench": ["bench", "decode"]}
"""Commands whose options belong to a subcommand."""


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(run, command):
    words = PARTS.get(command, [command])
    done = run(*words, "--help")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"usage: spectheory {' '.join(words)}")
    assert "--json" in done.out


def test_help_and_version(run):
    help_text = run("--help")
    assert (help_text.code, help_text.err) == (0, "")
    assert all(command in help_text.out for command in COMMANDS)
    assert run("--version").out.strip() == f"spectheory {__version__}"


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("nonsense",),
        ("optimum",),
        ("optimum", "p.npy", "--k", "2"),
        ("rules", "extra"),
        ("rules", "--nonsense"),
        ("rules", "--jso"),
        ("logits", "tabular"),
        ("demo", "--k", "0,2"),
        ("demo", "--k", ""),
        ("demo", "--k", "1000"),
        ("demo", "--seed", "-1"),
        ("demo", "--positions", "0"),
        ("demo", "--temperature", "-1"),
        ("demo", "--temperature", "nan"),
        ("demo", "--list", "--pair", "nonsense"),
        ("demo", "--list", "--prompts", ","),
        ("demo", "--list", "--prompt-file", "/nonexistent/prompts.txt"),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_one_line(run, arguments):
    assert run(*arguments).complaint.startswith("spectheory")


def test_demo_refuses_a_folder_that_is_a_file(run, tmp_path):
    path = tmp_path / "file"
    path.write_text("")
    done = run("demo", "--pair", "tabular", "--positions", "4", "--out", path)
    assert "--out" in done.complaint


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InputError("two\nlines"), 2),
        (SourceUnavailable("no network"), 1),
        (ChecksumMismatch("other bytes"), 1),
        (MissingDependency("no rich"), 1),
        (ModelFailure("no model"), 1),
        (MemoryError("4 GiB"), 1),
        (type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory"), 1),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 1),
        (FileNotFoundError(2, "No such file", "name"), 2),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_errors_are_one_line_with_their_code(run, failing, error, code):
    failing(error)
    done = run("rules")
    assert (done.code, done.out) == (code, "")
    assert done.err.startswith("spectheory rules: error: ")
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize("command", ["rules", "optimum", "demo"])
def test_interrupt_is_130(run, monkeypatch, tmp_path, command):
    def interrupted(options):
        raise KeyboardInterrupt

    monkeypatch.setattr(importlib.import_module(f"spectheory.cli.{command}"), "run", interrupted)
    arguments = {"optimum": ("p.npy", "q.npy", "--k", "1"), "demo": ("--out", tmp_path)}
    done = run(command, *arguments.get(command, ()))
    assert (done.code, done.out) == (130, "")
    assert done.err == f"spectheory {command}: interrupted\n"


def test_a_bug_is_not_hidden(failing):
    failing(ZeroDivisionError("a bug"))
    with pytest.raises(ZeroDivisionError):
        main(["rules"])
