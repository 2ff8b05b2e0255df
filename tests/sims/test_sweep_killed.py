"""A sweep goes on after kill -9: of a dask worker on the way, and of the whole run.

Runs are processes of their own: dask's event loop then does not meet pytest's rule that warnings
are errors, and one that hangs is killed together with its workers.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import polars
import pytest

import sims.sweep as sweep
from sims.runner import Place
from sims.sweep_laws import ZIPF
from spectheory.cli.style import OPTIMUM

LIMIT = 300
"""Seconds after which a run has hung; on an idle core it takes about ten."""

SMALL = sweep.Config(
    sizes=(6, 4), positions=3, qualities=(0.7,), temperatures=(1.0,), counts=(1, 2)
)

FATAL = (ZIPF, "0.7", 1.0, "iid", 2, OPTIMUM)
"""The cell at which a worker is killed, about a third down."""

ON_DASK = """
import os, signal, sys
from pathlib import Path
import sims.sweep as sweep
from sims.runner import Place
from sims.sweep import Config
from sims.workers import LOCAL, Workers

folder, config, fatal = Path(sys.argv[1]), eval(sys.argv[2]), eval(sys.argv[3])
calls, killed = folder / "calls", folder / "killed"

class Watched(Place):
    def fill(self, sim, config, keys, work):
        def watched(*cell):
            if cell == fatal and not killed.exists():
                (ledger,) = self.folder.iterdir()
                (folder / "finished").write_text(ledger.read_text())
                killed.write_text(str(len(calls.read_text().splitlines())))
                os.kill(os.getpid(), signal.SIGKILL)
            with open(calls, "a") as file:
                file.write(repr((os.getpid(), cell)) + "\\n")
            return work(*cell)

        return super().fill(sim, config, keys, watched)

place = Watched(folder / "ledger", Workers(2, LOCAL))
sweep.run(config, place).write_parquet(folder / "table.parquet")
"""

FULL = """
import sys, time
import sims.sweep as sweep
from sims.runner import main
from sims.sweep import Config

folder, config, seconds = sys.argv[1], eval(sys.argv[2]), float(sys.argv[3])
measure = sweep.measure

def watched(config, *cell):
    time.sleep(seconds)
    with open(folder + "/calls", "a") as file:
        file.write(repr(cell) + "\\n")
    return measure(config, *cell)

sweep.measure = watched
main("sweep", "", None, config, sweep.run, sweep.render, ["--full", "--out", folder])
"""


@contextmanager
def running(script, *arguments):
    """The script in a process group of its own, which is killed at the end if it is still there."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", script, *map(str, arguments)]
    run = subprocess.Popen(command, env=environment, start_new_session=True)
    try:
        yield run
    finally:
        with suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGKILL)
        run.wait()


def rows(text):
    """Keys of the whole lines of a ledger."""
    return [tuple(json.loads(line)[0]) for line in text.splitlines(True) if line[-1:] == "\n"]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return sweep.run(SMALL, Place(tmp_path_factory.mktemp("ledger")))


def test_a_killed_worker_of_a_dask_cluster_changes_no_number_and_loses_no_finished_cell(
    table, tmp_path
):
    with running(ON_DASK, tmp_path, repr(SMALL), repr(FATAL)) as run:
        assert run.wait(LIMIT) == 0
    assert polars.read_parquet(tmp_path / "table.parquet").equals(table)
    calls = [eval(line) for line in (tmp_path / "calls").read_text().splitlines()]
    assert len({process for process, _ in calls}) >= 2
    finished = (tmp_path / "finished").read_text()
    later = [cell for _, cell in calls[int((tmp_path / "killed").read_text()) :]]
    assert rows(finished)
    assert FATAL in later
    # What the dead worker still held for the scheduler may be computed again; each cell is kept
    # once, and those that were finished as they were.
    (ledger,) = (tmp_path / "ledger").iterdir()
    assert ledger.read_text().startswith(finished[: finished.rindex("\n") + 1])
    assert sorted(rows(ledger.read_text())) == sorted(SMALL.cells())


def test_a_killed_full_run_goes_on_where_it_was(table, tmp_path):
    calls = tmp_path / "calls"
    with running(FULL, tmp_path, repr(SMALL), 0.05) as run:
        until = time.monotonic() + LIMIT
        while (
            not (found := list(tmp_path.glob("sims/*.jsonl")))
            or len(rows(found[0].read_text())) < 5
        ):
            assert run.poll() is None, "the run ended by itself"
            assert time.monotonic() < until, "no cell was finished"
            time.sleep(0.02)
    finished = rows(found[0].read_text())
    assert 5 <= len(finished) < len(SMALL.cells())
    calls.unlink()
    with running(FULL, tmp_path, repr(SMALL), 0) as run:
        assert run.wait(LIMIT) == 0
    again = [eval(line) for line in calls.read_text().splitlines()]
    assert sorted(again + finished) == sorted(SMALL.cells())
    (written,) = (tmp_path / "tables").glob("*.parquet")
    assert polars.read_parquet(written).equals(table)
