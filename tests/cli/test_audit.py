"""``spectheory audit``: exit codes, the document, reports, interruption and bad input."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from sims.bench import synthetic
from spectheory.audit.power import plan_audit
from spectheory.audit.run import Job, audit_sampler
from spectheory.audit.sampler import rejection_sampler
from spectheory.errors import InputError, MissingDependency

LOSSLESS = "spectheory.audit.sampler:rejection_sampler"
TARGET, DRAFT = synthetic(300, 1.0, 1)


@pytest.fixture
def laws(saved):
    return ["--target", saved("p", TARGET), "--draft", saved("q", DRAFT)]


@pytest.fixture
def biased(tmp_path):
    path = tmp_path / "biased.py"
    path.write_text(
        "import numpy as np\n"
        "def sampler(target, draft, n, seed):\n"
        "    print('a line of the sampler itself')\n"
        "    return np.random.default_rng(seed).choice(len(draft), n, p=draft)\n"
    )
    return f"{path}:sampler"


def test_no_evidence_is_exit_code_0_with_bounds(run, laws):
    done = run("audit", LOSSLESS, *laws, "--max-draws", 20_000)
    assert done.code == 0
    assert done.out.startswith("No evidence of bias in 20,000 draws")
    assert "at most" in done.out


def test_bias_is_exit_code_1_with_evidence_and_one_document(run, laws, biased):
    done = run("audit", biased, *laws, "--json")
    assert done.code == 1
    document = done.document
    assert document["biased"] is True
    assert document["p_bound"] <= 1e-3
    assert document["sampler"] == biased
    assert {one["name"] for one in document["tests"]} >= {"draft_ratio", "pearson"}
    assert "a line of the sampler" in done.err


def test_the_document_is_the_report_of_the_library(run, laws):
    done = run("audit", LOSSLESS, *laws, "--max-draws", 5_000, "--seed", 3, "--json")
    report = audit_sampler(rejection_sampler, Job(TARGET, DRAFT, max_draws=5_000, seed=3))
    document = done.document
    assert document["log_e"] == report.log_e
    assert document["draws"] == 5_000
    assert [bound["upper"] for bound in document["bounds"]] == [b.upper for b in report.bounds]
    again = run("audit", LOSSLESS, *laws, "--max-draws", 5_000, "--seed", 3, "--json")
    assert again.out == done.out


def test_logits_and_sampling_parameters(run, saved):
    rng = np.random.default_rng(0)
    laws = ["--target", saved("p", rng.normal(size=50)), "--draft", saved("q", rng.normal(size=50))]
    options = ["--logits", "--temperature", 0.7, "--top-k", 10, "--max-draws", 3_000, "--json"]
    assert run("audit", LOSSLESS, *laws, *options).document["biased"] is False


def test_acceptance_is_tested_as_told(run, laws):
    few = ["--max-draws", 20_000, "--json"]
    assert run("audit", LOSSLESS, *laws, "--acceptance", 0.2, *few).code == 1
    done = run("audit", LOSSLESS, *laws, "--acceptance", "any", *few)
    assert done.code == 0
    assert "acceptance" not in {one["name"] for one in done.document["tests"]}


def test_reports_hold_their_plots(run, laws, biased, tmp_path):
    page = tmp_path / "found.html"
    done = run("audit", biased, *laws, "--report", page)
    assert done.code == 1
    text = page.read_text()
    assert text.count("<svg") == 2
    assert "Biased" in text
    for part in text.split("<svg")[1:]:
        ElementTree.fromstring("<svg" + part.split("</svg>")[0] + "</svg>")
    notes = tmp_path / "found.md"
    assert run("audit", LOSSLESS, *laws, "--max-draws", 5_000, "--report", notes).code == 0
    assert "| draft_ratio |" in notes.read_text()
    for name in ("e-process", "bounds"):
        assert f"(found-{name}.svg)" in notes.read_text()
        ElementTree.parse(tmp_path / f"found-{name}.svg")


def test_an_interrupt_prints_the_verdict_so_far(laws, tmp_path):
    (tmp_path / "slow.py").write_text(
        "import time\n"
        "from spectheory.audit.sampler import rejection_sampler\n"
        "def sampler(target, draft, n, seed):\n"
        "    time.sleep(0.05)\n"
        "    return rejection_sampler(target, draft, n, seed)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "spectheory.cli", "audit", f"{tmp_path}/slow.py:sampler"]
        + [str(x) for x in laws]
        + ["--max-draws", "100000000", "--resume", str(tmp_path / "state.npz")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background jobs ignore the signal, and so would their children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while process.poll() is None and not (tmp_path / "state.npz").exists():
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert out.startswith("No evidence of bias in ")
    assert "verdict so far" in err
    assert "Traceback" not in err


def test_a_plan_says_how_many_draws(run, laws):
    plans = run("audit", *laws, "--plan", 0.02, "--json").document["directions"]
    wanted = plan_audit(0.02, 1e-3, 0.8, TARGET, DRAFT, "draft").draws
    assert plans["draft"] == {k: v if np.isfinite(v) else None for k, v in wanted.items()}
    assert "quickest test" in run("audit", *laws, "--plan", 0.02).out
    large = run("audit", *laws, "--plan", 0.9, "--json").document["directions"]
    assert large["draft"] is None
    assert "--target" in run("audit", "--plan", 0.02).complaint
    for given in ((LOSSLESS,), ("--stream", "s.jsonl"), ("--report", "r.md")):
        assert "would not be read" in run("audit", *given, *laws, "--plan", 0.02).complaint


def test_exit_code_1_says_biased_and_nothing_else(run, laws, monkeypatch):
    def fails(*_):
        raise MissingDependency("reports need a package")

    monkeypatch.setattr("spectheory.cli.audit_report.write_report", fails)
    few = ["--max-draws", 1_000, "--report", "x.md"]
    assert "need a package" in run("audit", LOSSLESS, *laws, *few).complaint


def test_a_bias_is_told_even_if_its_report_cannot_be_written(run, laws, biased, monkeypatch):
    def fails(*_):
        raise InputError("`--report` x.md: disk full")

    monkeypatch.setattr("spectheory.cli.audit_report.write_report", fails)
    done = run("audit", biased, *laws, "--report", "x.md")
    assert done.code == 1
    assert "Biased" in done.out
    assert "disk full" in done.err


def test_the_state_of_another_version_of_a_sampler_is_refused(run, laws, tmp_path):
    source = "from spectheory.audit.sampler import rejection_sampler as sampler\n"
    (tmp_path / "mine.py").write_text(source)
    few = ["--max-draws", 2_000, "--resume", tmp_path / "s.npz"]
    assert run("audit", f"{tmp_path}/mine.py:sampler", *laws, *few).code == 0
    (tmp_path / "mine.py").write_text(source + "# and a change\n")
    done = run("audit", f"{tmp_path}/mine.py:sampler", *laws, *few)
    assert "Another sampler" in done.complaint


def test_a_plan_says_at_which_position(run, saved):
    laws = np.array([[0.5, 0.5], [0.9, 0.1]])
    target, draft = saved("two", laws), saved("drafts", laws[[0, 0]])
    for_one = run("audit", "--target", target, "--draft", draft, "--plan", 0.01)
    assert "at the first of 2 positions" in for_one.out
    document = run("audit", "--target", target, "--plan", 0.01, "--json").document
    assert (document["position"], document["positions"]) == (0, 2)


def test_a_plan_that_cannot_be_printed_is_no_bias(run, laws, monkeypatch):
    def fails(*_, **__):
        raise MissingDependency("tables need a package")

    monkeypatch.setattr("spectheory.cli.audit_plan.print_table", fails)
    assert "need a package" in run("audit", *laws, "--plan", 0.02).complaint


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (["--alpha", "1"], "alpha"),
        (["--max-draws", "0"], "max-draws"),
        (["--acceptance", "2"], "acceptance"),
        (["--report", "x.pdf"], ".html or .md"),
        (["--report", "/no/such/folder/x.md"], "no such folder"),
    ],
)
def test_bad_options_are_refused(run, laws, change, words):
    assert words in run("audit", LOSSLESS, *laws, *change).complaint


def test_bad_files_and_samplers_are_refused(run, saved, laws, tmp_path):
    p = saved("p", TARGET)
    assert "audited" not in run("audit", "nothing:here", "--target", p).complaint
    assert "`draft`" in run("audit", LOSSLESS, "--target", p, "--draft", tmp_path / "q").complaint
    short = saved("short", DRAFT[:-1] / DRAFT[:-1].sum())
    assert "vocabulary" in run("audit", LOSSLESS, "--target", p, "--draft", short).complaint
    flat = saved("flat", np.full((3, 300), 1 / 300))
    assert "shape" in run("audit", LOSSLESS, "--target", p, "--draft", flat).complaint
    (tmp_path / "wrong.py").write_text("def sampler(p, q, n, seed):\n    return [0.5] * n\n")
    assert "integer token ids" in run("audit", f"{tmp_path}/wrong.py:sampler", *laws).complaint
    (tmp_path / "leaves.py").write_text("def sampler(p, q, n, seed):\n    raise SystemExit(0)\n")
    assert "SystemExit" in run("audit", f"{tmp_path}/leaves.py:sampler", *laws).complaint
    (tmp_path / "state.npz").write_bytes(b"no state")
    broken = run("audit", LOSSLESS, *laws, "--resume", tmp_path / "state.npz")
    assert "not the state" in broken.complaint


def test_nothing_that_a_sampler_prints_reaches_standard_output(laws, tmp_path):
    (tmp_path / "loud.py").write_text(
        "import ctypes, os, subprocess\n"
        "from spectheory.audit.sampler import rejection_sampler\n"
        "os.write(1, b'on import\\n')\n"
        "def sampler(target, draft, n, seed):\n"
        "    print('by Python')\n"
        "    os.write(1, b'by a library\\n')\n"
        "    ctypes.CDLL(None).puts(b'from a buffer')\n"
        "    subprocess.run(['echo', 'by a child'], check=True)\n"
        "    return rejection_sampler(target, draft, n, seed)\n"
    )
    command = [sys.executable, "-m", "spectheory.cli", "audit", f"{tmp_path}/loud.py:sampler"]
    done = subprocess.run(
        [*command, *laws, "--max-draws", "2000", "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["draws"] == 2_000
    for words in ("on import", "by Python", "by a library", "from a buffer", "by a child"):
        assert words in done.stderr


def test_a_state_of_another_sampler_is_refused(run, laws, biased, tmp_path):
    state = ["--resume", tmp_path / "state.npz"]
    assert run("audit", biased, *laws, *state).code == 1
    assert "its sampler is not this one's" in run("audit", LOSSLESS, *laws, *state).complaint


def test_a_public_engine_is_named_by_its_key(run, saved):
    pytest.importorskip("flashspec")
    laws = ["--target", saved("p", np.array([0.5, 0.5, 0.0]))]
    assert "needs a `draft`" in run("audit", "engine:flashspec", *laws).complaint
    laws += ["--draft", saved("q", np.array([0.2, 0.3, 0.5]))]
    few = ["--max-draws", 4_096, "--json"]
    assert run("audit", "engine:flashspec", *laws, *few).code == 0
    assert run("audit", "engine:flashspec-typical", *laws, *few).code == 1
    assert "flashspec-onehot" in run("audit", "engine:none", *laws).complaint


MEASURED = """
import resource, sys, time
from spectheory.cli import main
began = time.monotonic()
code = main(sys.argv[1:])
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(time.monotonic() - began, peak, file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.slow
def test_three_million_draws_over_50257_tokens_take_less_than_a_minute_and_no_more_memory(saved):
    target, draft = synthetic(50_257, 1.0, 1)
    laws = ["--target", str(saved("p", target)), "--draft", str(saved("q", draft))]
    peaks = []
    for draws in (200_000, 3_000_000):
        command = [sys.executable, "-c", MEASURED, "audit", LOSSLESS, *laws]
        done = subprocess.run(
            [*command, "--max-draws", str(draws)], capture_output=True, text=True, check=True
        )
        assert f"in {draws:,} draws" in done.stdout
        seconds, peak = map(float, done.stderr.split())
        assert seconds < 60
        peaks.append(peak)
    assert peaks[1] < peaks[0] + 12, peaks  # MiB; 2,800,000 draws more, if kept, would take 21
