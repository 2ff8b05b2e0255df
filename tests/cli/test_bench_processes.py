import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import closing

import pytest

if not hasattr(os, "sched_setaffinity"):
    pytest.skip("processes are given a core each on Linux only", allow_module_level=True)
if len(os.sched_getaffinity(0)) < 2:
    pytest.skip("one core only", allow_module_level=True)

from spectheory.cli.bench_processes import beside, check_cores, check_shared, side_by_side
from spectheory.errors import InputError, ModelFailure


def test_items_are_made_in_two_processes_on_a_core_each():
    here = os.getpid()

    def make(item):
        time.sleep(0.05)
        return item**2, os.getpid(), tuple(os.sched_getaffinity(0))

    found = dict(side_by_side(make, range(8), 2))
    assert {item: square for item, (square, _, _) in found.items()} == {i: i * i for i in range(8)}
    places = {(process, cores) for _, process, cores in found.values()}
    assert len(places) == 2
    assert here not in {process for process, _ in places}
    assert len({cores for _, cores in places}) == 2
    assert all(len(cores) == 1 for _, cores in places)
    assert not multiprocessing.active_children()


def test_what_a_process_raises_is_raised_here_and_ends_the_others():
    def make(item):
        if item == 0:
            raise ModelFailure("NaN")
        time.sleep(30)

    start = time.monotonic()
    with pytest.raises(ModelFailure, match="NaN"):
        list(side_by_side(make, range(4), 2))
    assert time.monotonic() - start < 10
    assert not multiprocessing.active_children()


def test_a_process_that_is_killed_is_told():
    def make(item):
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(MemoryError, match="one of 2 processes was killed"):
        list(side_by_side(make, range(4), 2))


def test_leaving_early_does_not_wait():
    def make(item):
        time.sleep(30 * item)

    start = time.monotonic()
    with closing(side_by_side(make, range(4), 2)) as made:
        assert next(made) == (0, None)
    assert time.monotonic() - start < 10
    assert not multiprocessing.active_children()


def test_no_process_outlives_a_parent_that_was_killed(tmp_path):
    """Neither those beside a block, nor those that items are made in."""
    for body in (
        "with beside(lambda: note() or time.sleep(0.01), 2): time.sleep(60)",
        "list(side_by_side(lambda item: note() or time.sleep(60), range(2), 2))",
    ):
        file = tmp_path / "process"
        file.unlink(missing_ok=True)
        script = f"""
            import os, time
            from spectheory.cli.bench_processes import beside, side_by_side
            def note():
                with open({str(file)!r} + str(os.getpid()), "w") as out:
                    out.write(str(os.getpid()))
                os.replace({str(file)!r} + str(os.getpid()), {str(file)!r})
            {body}
        """
        parent = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)])
        try:
            assert _within(30, file.exists)
        finally:
            parent.kill()
            parent.wait()
        child = int(file.read_text())
        assert child != parent.pid
        assert _within(10, lambda child=child: not _runs(child))


def test_a_block_runs_beside_work_on_another_core():
    turns = multiprocessing.get_context("fork").Value("q", 0)

    def work():
        turns.value += 1
        time.sleep(0.001)

    before = os.sched_getaffinity(0)
    with beside(work, 2):
        assert len(os.sched_getaffinity(0)) == 1
        assert _within(10, lambda: turns.value > 3)
    assert os.sched_getaffinity(0) == before
    assert not multiprocessing.active_children()
    done = turns.value
    time.sleep(0.05)
    assert turns.value == done


def test_more_processes_than_cores_are_refused():
    cores = len(os.sched_getaffinity(0))
    check_cores(cores)
    with pytest.raises(InputError, match=f"`--processes` is {cores + 1}, and there are {cores}"):
        check_cores(cores + 1)


def test_processes_of_several_threads_are_refused():
    torch = pytest.importorskip("torch")
    from tests.decoding.tiny_drafter import tiny

    target = tiny()
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        with pytest.raises(InputError, match=r"torch has 2 threads .* OMP_NUM_THREADS=1"):
            check_shared(2, target)
        check_shared(1, target)
    finally:
        torch.set_num_threads(threads)


def _within(seconds, true):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.02)
    return False


def _runs(process):
    """A child of a killed parent is init's, which may not have taken it off the list."""
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
