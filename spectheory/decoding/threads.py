"""How many threads torch should use: asked for, or the fastest of a quick measurement."""

from __future__ import annotations

import os
import time
from functools import cache

from spectheory.errors import InputError

VARIABLE = "SPECTHEORY_TORCH_THREADS"


def torch_threads(threads: int | None = None) -> int:
    """Set torch's thread count on CPU and return it.

    The argument decides, then ``SPECTHEORY_TORCH_THREADS``, then ``OMP_NUM_THREADS`` (which torch
    has already read); without any, a measurement of a fraction of a second, once a process. On a
    busy machine with few cores, one thread is often faster than all of them.

    Raises:
        InputError: a number of threads that is not a positive integer.
    """
    import torch

    source = "threads"
    asked: int | str | None = threads
    if asked is None and os.environ.get(VARIABLE):
        source, asked = VARIABLE, os.environ[VARIABLE]
    if asked is None:
        if os.environ.get("OMP_NUM_THREADS"):
            return int(torch.get_num_threads())
        asked = _fastest()
    if not str(asked).isdecimal() or int(asked) < 1:
        raise InputError(f"`{source}` is {asked!r}; expected an integer >= 1")
    torch.set_num_threads(int(asked))
    return int(asked)


@cache
def _fastest() -> int:
    """The fewest threads within a fifth of the best median, on matrices of a small model's size."""
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    at_start = torch.get_num_threads()
    tokens, weights = torch.ones(64, 576), torch.ones(576, 1536)
    medians = {}
    for count in sorted({1, max(1, (cores or 1) // 2), cores or 1}):
        torch.set_num_threads(count)
        seconds = []
        for _ in range(25):
            start = time.perf_counter()
            for _ in range(4):
                tokens @ weights
            seconds.append(time.perf_counter() - start)
        medians[count] = sorted(seconds)[len(seconds) // 2]
    torch.set_num_threads(at_start)
    # More threads must earn it: they lose much more when another process wants the cores.
    return next(count for count in medians if medians[count] < 1.2 * min(medians.values()))
