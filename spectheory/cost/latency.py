"""Measured latencies of a pass, by how many tokens it reads and how many are cached."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from spectheory.errors import InputError


@dataclass(frozen=True)
class LatencyTable:
    """Median seconds of a pass on a grid, interpolated linearly between its points.

    Cost curves have steps (a matrix kernel that changes with the number of rows), so every number
    of tokens that a plan may use should be a point of the grid.

    Attributes:
        contexts: ``(c,)`` ascending numbers of cached tokens.
        tokens: ``(n,)`` ascending numbers of tokens read by the pass.
        seconds: ``(c, n)``.

    Raises:
        InputError: sizes that do not fit, or points that do not ascend.

    >>> table = LatencyTable((0, 100), (1, 2), np.array([[1.0, 2.0], [3.0, 4.0]]))
    >>> table(2, context=50)
    3.0
    """

    contexts: tuple[int, ...]
    tokens: tuple[int, ...]
    seconds: np.ndarray

    def __post_init__(self) -> None:
        if self.seconds.shape != (len(self.contexts), len(self.tokens)):
            raise InputError(
                f"`seconds` has shape {self.seconds.shape}; expected "
                f"{(len(self.contexts), len(self.tokens))}, contexts by tokens"
            )
        for name, points in (("contexts", self.contexts), ("tokens", self.tokens)):
            if any(low >= high for low, high in pairwise(points)):
                raise InputError(f"`{name}` is {points}; expected ascending numbers")

    def __call__(self, tokens: float, context: float) -> float:
        """Seconds of a pass.

        Raises:
            InputError: outside the grid; a latency is not extrapolated.
        """
        for name, value, points in (
            ("tokens", tokens, self.tokens),
            ("context", context, self.contexts),
        ):
            if not points[0] <= value <= points[-1]:
                raise InputError(
                    f"`{name}` is {value}; latencies were measured from {points[0]} to {points[-1]}"
                )
        by_context = [np.interp(tokens, self.tokens, row) for row in self.seconds]
        return float(np.interp(context, self.contexts, by_context))


def measure_latency(
    prepare: Callable[[int], Any],
    run: Callable[[Any, int], None],
    contexts: Sequence[int],
    tokens: Sequence[int],
    repeats: int = 7,
    done: Callable[[float], None] = lambda _: None,
) -> LatencyTable:
    """Time passes over a grid; rounds go over all points, so a slow spell hits them alike.

    What all contexts need is held at the same time.

    Args:
        prepare: from a number of cached tokens to whatever ``run`` needs.
        run: reads that many tokens and returns when they are read.
        contexts, tokens: the grid, ascending.
        repeats: rounds behind each median, after one that is not counted.
        done: called with how many times passes were timed over all ``tokens`` of a context, of
            ``(repeats + 1) * len(contexts)``.
    """
    seconds = np.empty((repeats + 1, len(contexts), len(tokens)))
    prepared = [prepare(context) for context in contexts]
    for round_ in range(repeats + 1):
        for row, here in enumerate(prepared):
            for column, count in enumerate(tokens):
                start = time.perf_counter()
                run(here, count)
                seconds[round_, row, column] = time.perf_counter() - start
            done(round_ * len(contexts) + row + 1)
    return LatencyTable(tuple(contexts), tuple(tokens), np.median(seconds[1:], axis=0))
