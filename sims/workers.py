"""Where the cells of a simulation are worked on: here, on this machine's cores, or on a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from spectheory.errors import InputError

LOCAL = "local"
"""Stands for a cluster of this machine's own processes instead of a scheduler's address."""


@dataclass(frozen=True)
class Workers:
    """Processes to share cells among.

    Attributes:
        jobs: how many; 1 works in this process unless a cluster is named.
        dask: address of a dask scheduler (``tcp://host:8786``) that joblib hands the cells to,
            `LOCAL` to start one here with ``jobs`` workers of one thread each, or None for loky.

    Raises:
        InputError: fewer than one job.
    """

    jobs: int = 1
    dask: str | None = None

    def __post_init__(self) -> None:
        if self.jobs < 1:
            raise InputError(f"`jobs` is {self.jobs}; expected an integer >= 1")

    def results(
        self, work: Callable[..., Any], keys: list[tuple[Any, ...]]
    ) -> Iterator[tuple[tuple[Any, ...], Any]]:
        """Pairs of key and ``work(*key)`` as they are finished, in whatever order that is.

        Cells are handed out one by one: a batch would be lost whole if the run were killed.
        """
        if self.dask is None and self.jobs == 1:
            yield from ((key, work(*key)) for key in keys)
            return
        from joblib import Parallel, delayed, parallel_config

        def cell(key: tuple[Any, ...]) -> tuple[tuple[Any, ...], Any]:
            return key, work(*key)

        with self._backend() as (name, options), parallel_config(name, **options):
            parallel = Parallel(
                n_jobs=-1 if self.dask else self.jobs,
                batch_size=1,
                return_as="generator_unordered",
            )
            yield from parallel(delayed(cell)(key) for key in keys)

    @contextmanager
    def _backend(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Name and options of joblib's backend; a cluster is connected to for as long as needed."""
        if self.dask is None:
            yield "loky", {"inner_max_num_threads": 1}
            return
        from distributed import Client, LocalCluster

        if self.dask == LOCAL:
            place: Any = LocalCluster(
                n_workers=self.jobs, threads_per_worker=1, dashboard_address=None
            )
            with place, Client(place):
                yield "dask", {}
        else:
            with Client(self.dask):
                yield "dask", {}
