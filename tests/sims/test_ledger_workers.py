"""Cells shared among processes or a cluster: the same rows, none lost to kill -9."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import sims.ledger
from sims.ledger import fill, remaining
from sims.workers import LOCAL, Workers
from spectheory.errors import InputError

KEYS = [(name, i) for name in "ab" for i in range(6)]

RUN = """
import sys, time
from pathlib import Path
from sims.ledger import fill
from sims.workers import Workers

folder, seconds, jobs = Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])

def work(name, i):
    time.sleep(seconds)
    with open(folder / "calls", "a") as file:
        file.write(f"{name} {i}\\n")
    return {"value": f"{name}{i * i}"}

keys = [(name, i) for name in "ab" for i in range(6)]
fill(folder / "rows.jsonl", keys, work, "cells", Workers(jobs))
"""


def row(name, i):
    return {"value": f"{name}{i * i}", "float": i / 3}


@pytest.mark.parametrize("workers", [Workers(), Workers(2)], ids=["here", "loky"])
def test_rows_come_in_the_order_of_their_keys(tmp_path, workers):
    rows = fill(tmp_path / "rows.jsonl", KEYS, row, "cells", workers)
    assert rows == [row(*key) for key in KEYS]
    kept = [json.loads(line)[0] for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert sorted(map(tuple, kept)) == KEYS


def test_a_local_dask_cluster_of_two_workers_gives_the_same_rows(tmp_path):
    def where(name, i):
        from distributed import get_worker

        return row(name, i) | {"worker": get_worker().address}

    rows = fill(tmp_path / "rows.jsonl", KEYS, where, "cells", Workers(2, LOCAL))
    assert len({one.pop("worker") for one in rows}) == 2
    assert rows == [row(*key) for key in KEYS]


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_killed_run_loses_no_finished_cell(tmp_path, jobs):
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": str(root)}

    def command(seconds):
        return [sys.executable, "-c", RUN, str(tmp_path), str(seconds), str(jobs)]

    ledger, calls = tmp_path / "rows.jsonl", tmp_path / "calls"
    run = subprocess.Popen(command(0.3), env=environment, start_new_session=True)
    try:
        until = time.monotonic() + 60
        while not ledger.exists() or ledger.read_bytes().count(b"\n") < 4:
            assert time.monotonic() < until, "no cell was finished"
            assert run.poll() is None, "the run ended by itself"
            time.sleep(0.02)
    finally:
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
    finished = {
        tuple(json.loads(s)[0]) for s in ledger.read_text().splitlines(True) if s[-1:] == "\n"
    }
    assert 4 <= len(finished) < len(KEYS)
    calls.unlink()
    subprocess.run(command(0), env=environment, check=True)
    again = {(name, int(i)) for name, i in map(str.split, calls.read_text().splitlines())}
    assert again == set(KEYS) - finished
    assert len(calls.read_text().splitlines()) == len(again)
    rows = {tuple(key): one for key, one in map(json.loads, ledger.read_text().splitlines())}
    assert rows == {(name, i): {"value": f"{name}{i * i}"} for name, i in KEYS}


def test_a_cell_that_fails_leaves_the_finished_ones(tmp_path):
    def failing(name, i):
        if (name, i) == ("b", 2):
            raise ZeroDivisionError
        return row(name, i)

    with pytest.raises(ZeroDivisionError):
        fill(tmp_path / "rows.jsonl", KEYS, failing, "cells")
    called = []
    rows = fill(tmp_path / "rows.jsonl", KEYS, lambda *k: called.append(k) or row(*k), "cells")
    assert rows == [row(*key) for key in KEYS]
    assert called == KEYS[KEYS.index(("b", 2)) :]


def test_the_time_left_goes_by_the_cells_of_this_run(capsys, monkeypatch):
    now = 0.0
    monkeypatch.setattr(sims.ledger, "QUIET", 20.0)
    with remaining("cells", 1_000, lambda: now) as show:
        show(900)  # by an earlier run
        now = 10.0
        show(905)
        assert not capsys.readouterr().err
        now = 40.0
        show(920)
    assert "cells: 920 of 1,000, about 3 min left" in capsys.readouterr().err  # 80 at 2 s each


def test_workers_are_counted_from_one():
    with pytest.raises(InputError, match="`jobs` is 0"):
        Workers(0)
