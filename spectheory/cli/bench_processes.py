"""Timed work in processes side by side, each on a core of its own, which share a loaded model.

A forked process shares what its parent has loaded until either writes to it, so that a model is in
memory once however many processes run it. They share the way to memory, too: what is timed beside
others is slower than alone, for baselines and for what is compared with them.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from spectheory.errors import InputError

if TYPE_CHECKING:
    from spectheory.decoding.transformer import TransformerModel

Item = TypeVar("Item")
Result = TypeVar("Result")


def check_cores(processes: int) -> None:
    """Refuse more than one process where there is no core for each, before a model is loaded.

    Raises:
        InputError: named by the argument.
    """
    if processes == 1:
        return
    if not hasattr(os, "sched_setaffinity"):
        raise InputError(
            f"`--processes` is {processes}; processes are given a core each on Linux only"
        )
    if processes > len(_cores()):
        raise InputError(
            f"`--processes` is {processes}, and there are {len(_cores())} cores to run on"
        )


def check_shared(processes: int, target: TransformerModel) -> None:
    """Refuse more than one process for a model that they cannot share without waiting.

    Raises:
        InputError: named by the argument.
    """
    import torch

    if processes == 1:
        return
    if target.module.device.type != "cpu":
        raise InputError(
            f"`--processes` is {processes}, but the model is on {target.module.device}; that takes "
            "one"
        )
    if torch.get_num_threads() != 1:
        raise InputError(
            f"`--processes` is {processes} and torch has {torch.get_num_threads()} threads in "
            "each; set OMP_NUM_THREADS=1 and SPECTHEORY_TORCH_THREADS=1"
        )


@contextmanager
def beside(work: Callable[[], object], processes: int) -> Iterator[None]:
    """Run a block on one core while others repeat some work, as busy as they will be later."""
    if processes == 1:
        yield
        return
    own, *others = _cores()[:processes]
    found = os.sched_getaffinity(0)
    fork = multiprocessing.get_context("fork")
    busy = [
        fork.Process(target=_repeat, args=(work, core, os.getpid()), daemon=True) for core in others
    ]
    with _shared_memory():
        for process in busy:
            process.start()
        os.sched_setaffinity(0, {own})
        try:
            yield
        finally:
            os.sched_setaffinity(0, found)
            for process in busy:
                process.kill()
                process.join()


def side_by_side(
    make: Callable[[Item], Result], items: Sequence[Item], processes: int
) -> Generator[tuple[Item, Result], None, None]:
    """Each item with what is made of it, as they are finished; they are begun in their order.

    Args:
        make: called in a forked process, so it may hold what cannot be sent to one.
        items: can be sent.
        processes: cores to use.

    Raises:
        MemoryError: a process was killed, for which memory is the usual reason.
    """
    fork = multiprocessing.get_context("fork")
    cores = fork.SimpleQueue()
    for core in _cores()[:processes]:
        cores.put(core)
    others = set(multiprocessing.active_children())
    with _shared_memory():
        pool = ProcessPoolExecutor(processes, fork, _begin, (make, cores, os.getpid()))
        try:
            running = {pool.submit(_made, item): item for item in items}
            for done in as_completed(running):
                yield running[done], done.result()
        except BaseException as error:
            for process in set(multiprocessing.active_children()) - others:
                process.kill()  # rather than wait for what is under way
            if isinstance(error, BrokenProcessPool):
                raise MemoryError(
                    f"one of {processes} processes was killed, most likely for memory; run fewer"
                ) from error
            raise
        finally:
            pool.shutdown(cancel_futures=True)


def _cores() -> list[int]:
    return sorted(os.sched_getaffinity(0))


@contextmanager
def _shared_memory() -> Iterator[None]:
    """Keep the collector from writing to objects that are there already, and so from copying."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _repeat(work: Callable[[], object], core: int, parent: int) -> None:
    _settle(core)
    while os.getppid() == parent:
        work()


_make: Callable[[Any], Any]
"""What a process of a pool was begun with."""


def _begin(make: Callable[[Any], Any], cores: Any, parent: int) -> None:
    global _make
    _make = make
    _settle(cores.get())
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _made(item: Any) -> Any:
    return _make(item)


def _settle(core: int) -> None:
    os.sched_setaffinity(0, {core})
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ctrl-C is the parent's, who ends the others


def _end_with(parent: int) -> None:
    """Leave no process behind a parent that was killed."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
