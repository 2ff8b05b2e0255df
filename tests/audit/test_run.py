"""Running a sampler under audit: protocol, determinism, resumption after a kill."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from sims.bench import synthetic
from spectheory.audit.run import Job, audit_sampler, audit_steps
from spectheory.audit.sampler import draw, load_sampler, rejection_sampler
from spectheory.errors import InputError, SamplerFailure, ShapeError

TARGET, DRAFT = synthetic(300, 1.0, 1)
JOB = Job(TARGET, DRAFT, max_draws=30_000)


def test_the_same_job_gives_the_same_report():
    assert audit_sampler(rejection_sampler, JOB) == audit_sampler(rejection_sampler, JOB)
    other = audit_sampler(rejection_sampler, Job(TARGET, DRAFT, max_draws=30_000, seed=1))
    assert other.log_e != audit_sampler(rejection_sampler, JOB).log_e


def test_all_draws_are_made_and_no_more_unless_bias_is_found():
    assert audit_sampler(rejection_sampler, JOB).draws == 30_000

    def drafts(target, draft, n, seed):
        return np.random.default_rng(seed).choice(len(draft), n, p=draft)

    report = audit_sampler(drafts, JOB)
    assert report.biased
    assert report.draws < 5_000


def test_tests_without_a_draft_or_acceptance_are_left_out():
    names = {one.name for one in audit_sampler(rejection_sampler, Job(TARGET, None)).tests}
    assert "draft_ratio" not in names
    assert "acceptance" not in names
    untold = Job(TARGET, DRAFT, max_draws=2_000, test_acceptance=False)
    assert "acceptance" not in {one.name for one in audit_sampler(rejection_sampler, untold).tests}


def test_positions_take_turns():
    rng = np.random.default_rng(0)
    target, draft = rng.dirichlet(np.ones(5), (2, 20))
    seen = []

    def watch(p, q, n, seed):
        seen.append(int(np.flatnonzero((target == p).all(axis=1))[0]))
        return rejection_sampler(p, q, n, seed)

    assert not audit_sampler(watch, Job(target, draft, max_draws=50_000)).biased
    assert seen == [i % 20 for i in range(len(seen))]
    assert len(seen) > 20

    def wrong_at_one(p, q, n, seed):
        return rejection_sampler(q if (p == target[3]).all() else p, q, n, seed)

    assert audit_sampler(wrong_at_one, Job(target, draft, max_draws=50_000)).biased


MANY = np.random.default_rng(1).dirichlet(np.ones(4), (2, 120))


@pytest.mark.parametrize("max_draws", [120, 200, 240, 20_000])
def test_every_position_is_drawn_from_twice_if_there_are_draws_enough(max_draws):
    target, draft = MANY
    seen = []

    def watch(p, q, n, seed):
        seen.append(int(np.flatnonzero((target == p).all(axis=1))[0]))
        return rejection_sampler(p, q, n, seed)

    report = audit_sampler(watch, Job(target, draft, max_draws=max_draws))
    assert report.draws == max_draws
    assert np.bincount(seen, minlength=120).min() >= min(2, max_draws // 120)
    assert (report.positions, report.drawn_from) == (120, 120)
    assert "each of the 120 positions" in str(report)


def test_a_mistake_at_the_last_of_many_positions_is_seen():
    target = MANY[0].copy()
    target[-1] = [0.5, 0.5, 0, 0]

    def wrong_at_the_last(p, q, n, seed):
        return np.full(n, 3) if p[3] == 0 else rejection_sampler(p, q, n, seed)

    report = audit_sampler(wrong_at_the_last, Job(target, MANY[1], max_draws=20_000))
    assert report.impossible


def test_positions_without_a_draw_are_told(tmp_path):
    """A run broken off, and gone on with: the report is the whole run's."""
    job, state = Job(*MANY[:, :30], max_draws=3_000), tmp_path / "state.npz"
    steps = audit_steps(rejection_sampler, job, state)
    part = [next(steps) for _ in range(7)][-1]
    assert part.drawn_from == 7
    assert "at 7 of the 30 positions; nothing is said about the others" in str(part)
    assert part.to_dict()["drawn_from"] == 7
    resumed = list(audit_steps(rejection_sampler, job, state))
    assert resumed[0] == part
    assert resumed[-1] == audit_sampler(rejection_sampler, job)


def test_a_state_of_another_layout_is_refused(tmp_path, monkeypatch):
    state = tmp_path / "state.npz"
    with monkeypatch.context() as older:
        older.setattr("spectheory.audit.run.LAYOUT", 1)
        audit_sampler(rejection_sampler, Job(TARGET, DRAFT, max_draws=1_000), state)
    with pytest.raises(InputError, match="its layout is not this one's"):
        audit_sampler(rejection_sampler, Job(TARGET, DRAFT, max_draws=2_000), state)


def test_an_interrupted_run_goes_on_as_if_it_had_not_been(tmp_path):
    whole = audit_sampler(rejection_sampler, JOB)
    calls = 0

    def breaks(*arguments):
        nonlocal calls
        calls += 1
        if calls == 7:
            raise KeyboardInterrupt
        return rejection_sampler(*arguments)

    state = tmp_path / "state.npz"
    with pytest.raises(KeyboardInterrupt):
        audit_sampler(breaks, JOB, state)
    assert state.exists()
    resumed = list(audit_steps(rejection_sampler, JOB, state))
    assert resumed[0].draws > 5_000
    assert resumed[-1] == whole


def test_a_killed_run_goes_on_as_if_it_had_not_been(tmp_path):
    """kill -9 at two moments, each in a process of its own; the report is the same document."""
    np.save(tmp_path / "p.npy", TARGET)
    np.save(tmp_path / "q.npy", DRAFT)
    (tmp_path / "slow.py").write_text(
        "import time\n"
        "from spectheory.audit.sampler import rejection_sampler\n"
        "def sampler(target, draft, n, seed):\n"
        "    time.sleep(0.05)\n"
        "    return rejection_sampler(target, draft, n, seed)\n"
    )
    command = [sys.executable, "-m", "spectheory.cli", "audit", "slow.py:sampler", "--json"]
    command += ["--target", "p.npy", "--draft", "q.npy", "--max-draws", "40000"]
    whole = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert whole.returncode == 0, whole.stderr
    command += ["--resume", "state.npz"]
    kills = 0
    for _ in range(2):
        process = subprocess.Popen(
            command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        before = _stamp(tmp_path / "state.npz")
        while process.poll() is None and _stamp(tmp_path / "state.npz") == before:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
    assert kills == 2
    resumed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert resumed.returncode == 0, resumed.stderr
    assert json.loads(resumed.stdout) == json.loads(whole.stdout)


def _stamp(path):
    return path.stat().st_mtime_ns if path.exists() else None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"target": TARGET[::-1]}, "laws"),
        ({"alpha": 1e-2}, "alpha"),
        ({"seed": 4}, "seed"),
        ({"acceptance": 0.5}, "acceptance"),
    ],
)
def test_a_state_of_another_audit_is_refused(tmp_path, change, words):
    state = tmp_path / "state.npz"
    audit_sampler(rejection_sampler, Job(TARGET, DRAFT, max_draws=1_000), state)
    other = {"target": TARGET, "draft": DRAFT, "max_draws": 2_000} | change
    with pytest.raises(InputError, match=words):
        audit_sampler(rejection_sampler, Job(**other), state)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", b"\x93NUMPY"])
def test_a_damaged_state_is_refused(tmp_path, content):
    state = tmp_path / "state.npz"
    state.write_bytes(content)
    with pytest.raises(InputError, match="not the state of an audit"):
        audit_sampler(rejection_sampler, JOB, state)


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        (np.zeros(3, int), r"shape \(3,\); expected \(1024,\)"),
        (np.zeros((1024, 1), int), r"shape \(1024, 1\)"),
        (np.zeros(1024), "float64"),
        (np.full(1024, 300), "token 300"),
        (np.full(1024, -1), "token -1"),
        ((np.zeros(1024, int), np.zeros(5)), "accepted of shape"),
        ((np.zeros(1024, int), np.full(1024, 2)), "not all 0 or 1"),
        ((np.zeros(1024, int), np.zeros(1024, bool), 1), "of 3 parts"),
        (None, "shape"),
    ],
)
def test_a_sampler_that_breaks_the_protocol_is_told_how(returned, words):
    with pytest.raises(SamplerFailure, match=words):
        audit_sampler(lambda *_: returned, JOB)


def test_a_sampler_that_raises_is_named_with_its_error():
    def broken(target, draft, n, seed):
        raise ZeroDivisionError("no mass left")

    with pytest.raises(SamplerFailure, match=r"ZeroDivisionError .*: no mass left"):
        audit_sampler(broken, JOB)


def test_a_sampler_that_ignores_its_seed_is_refused():
    with pytest.raises(SamplerFailure, match="two seeds"):
        audit_sampler(lambda p, q, n, seed: rejection_sampler(p, q, n, 0), JOB)


def test_a_sampler_that_overwrites_its_laws_spoils_nothing():
    def overwrites(target, draft, n, seed):
        drawn = rejection_sampler(target, draft, n, seed)
        np.maximum(target - draft, 0, out=target)
        draft[:] = 0
        return drawn

    assert audit_sampler(overwrites, JOB) == audit_sampler(rejection_sampler, JOB)


def test_a_certain_target_may_give_the_same_draws_again():
    job = Job(np.array([0.0, 1.0]), np.array([0.5, 0.5]), max_draws=5_000)
    assert not audit_sampler(rejection_sampler, job).biased


def test_accepted_may_be_integers_and_tokens_any_width():
    drawn = draw(lambda p, q, n, s: (np.zeros(n, np.uint8), np.ones(n, int)), TARGET, DRAFT, 5, 0)
    assert drawn.tokens.dtype == np.int64
    assert drawn.accepted.dtype == bool


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nothing", "names no object"),
        ("no.such.module:f", "cannot be imported"),
        ("no/such.py:f", "no such file"),
        ("spectheory.audit.sampler:nothing", "has no `nothing`"),
        ("spectheory.audit.run:CHUNK", "not a callable"),
    ],
)
def test_a_name_that_loads_no_sampler_is_refused(name, words):
    with pytest.raises(InputError, match=words):
        load_sampler(name)


def test_a_sampler_file_may_import_its_neighbour(tmp_path):
    (tmp_path / "neighbour_of_sampler.py").write_text("K = 3\n")
    (tmp_path / "own.py").write_text(
        "import numpy as np\nfrom neighbour_of_sampler import K\n"
        "class Own:\n    def __call__(self, p, q, n, seed):\n        return np.full(n, K)\n"
        "own = Own()\n"
    )
    assert load_sampler(f"{tmp_path}/own.py:own")(TARGET, None, 2, 0).tolist() == [3, 3]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"target": TARGET, "draft": DRAFT[:-1]}, ShapeError),
        ({"target": np.zeros((2, 2, 2))}, ShapeError),
        ({"target": TARGET, "max_draws": 0}, InputError),
        ({"target": TARGET, "seed": -1}, InputError),
        ({"target": MANY[0], "max_draws": 119}, InputError),
    ],
)
def test_bad_jobs_are_refused(arguments, error):
    with pytest.raises(error):
        Job(**arguments)
