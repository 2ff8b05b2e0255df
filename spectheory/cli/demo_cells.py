"""Measures the demonstration's cells; each is kept on disk as it is finished."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from spectheory.audit.rates import MeasuredRates, map_threads, measure_rates
from spectheory.cli.demo_plan import Cell, Config, Slot
from spectheory.cli.journal import Journal
from spectheory.cli.optimum import certified_optima
from spectheory.cli.style import OPTIMUM
from spectheory.distributions import from_logits
from spectheory.drafting.scheme import DraftScheme
from spectheory.drafting.scheme import scheme as draft_scheme
from spectheory.transport.subset_dual import optimal_value
from spectheory.verification.rule import rule

if TYPE_CHECKING:
    from spectheory.decoding.logged import LoggedLogits

BOUND = "upper bound"
"""Method of an optimum that is only bounded from above."""

CERTIFIED = 4
"""Up to this many drafts, an optimum that the sorted prefixes only bound is searched for."""


@dataclass(frozen=True)
class Measured:
    """A finished cell.

    Attributes:
        acceptance, ladder, error: by measured position; see `MeasuredRates`.
        method: how they were obtained.
        rows: the measured positions; None for all.
        seconds: how long it took.
    """

    acceptance: list[float]
    ladder: list[float]
    error: list[float]
    method: str
    rows: list[int] | None
    seconds: float


class Laws:
    """Target and draft laws of the logged logits; the last draft asked for is kept."""

    def __init__(self, logged: LoggedLogits, config: Config) -> None:
        self.target = from_logits(logged.target, config.temperature)
        self._logged, self._config = logged, config
        self._kept: tuple[str, np.ndarray] | None = None

    def draft(self, cell: Cell) -> np.ndarray:
        """``(n, V)``, or ``(n, k, V)`` for a per-slot scheme."""
        if self._kept is None or self._kept[0] != cell.draft:
            self._kept = None  # before the next is built
            self._kept = (cell.draft, self._law(cell))
        law = self._kept[1]
        return law[:, : cell.k] if draft_scheme(cell.scheme).per_slot else law

    def _law(self, cell: Cell) -> np.ndarray:
        if not draft_scheme(cell.scheme).per_slot:
            return self._of(Slot(cell.draft))
        return np.stack([self._of(slot) for slot in self._config.slots()], axis=1)

    def _of(self, slot: Slot) -> np.ndarray:
        law: np.ndarray = from_logits(
            self._logged.drafts[slot.draft], self._config.temperature * slot.heat
        )
        return law


def measure_all(
    config: Config,
    cells: Sequence[Cell],
    logged: LoggedLogits,
    journal: Journal,
    threads: int,
    finished: Callable[[Cell], None],
) -> dict[Cell, Measured]:
    """Each of the configuration's cells that is asked for, from the journal if it is there."""
    results = {}
    laws = cache(partial(Laws, logged, config))  # none are needed if all is finished

    def measured(cell: Cell) -> dict[str, Any]:
        return asdict(measure(cell, laws().target, laws().draft(cell), config, threads))

    for cell in cells:
        found = journal.get_or(config.cell_key(cell), partial(measured, cell), cell=cell)
        results[cell] = Measured(**found)
        finished(cell)
    return results


def measure(
    cell: Cell, target: np.ndarray, draft: np.ndarray, config: Config, threads: int
) -> Measured:
    """One cell; a rule whose set-up is an iteration is bounded, and has a few positions only.

    It gets as many draft tuples in all as the other rules.
    """
    start = time.perf_counter()
    scheme = draft_scheme(cell.scheme)
    rows: list[int] | None = None
    if cell.rule == OPTIMUM:
        values, method = optimum(target, draft, cell.k, scheme, threads)
        rates = MeasuredRates(values, values, np.zeros_like(values), method)
    else:
        measured, draws = rule(cell.rule), config.draws
        if measured.iterative and len(target) > config.few:
            draws = draws * len(target) // config.few
            rows = [i * len(target) // config.few for i in range(config.few)]
            target, draft = target[rows], draft[rows]
        rates = measure_rates(
            measured.bounded(),
            scheme,
            target,
            draft,
            cell.k,
            draws=draws,
            seed=config.request.seed,
            threads=threads,
        )
    return Measured(
        rates.acceptance.tolist(),
        rates.ladder.tolist(),
        rates.error.tolist(),
        rates.method,
        rows,
        round(time.perf_counter() - start, 3),
    )


def optimum(
    target: np.ndarray,
    draft: np.ndarray,
    k: int,
    scheme: DraftScheme,
    threads: int,
) -> tuple[np.ndarray, str]:
    """``(n,)`` optimal acceptances and how they were obtained.

    Where the sorted prefixes only bound it, up to `CERTIFIED` drafts it is searched for.
    """

    def dual(i: int) -> float:
        return float(optimal_value(target[i], draft[i], k, scheme.key))

    # The first runs alone: it compiles what there is to compile.
    values = np.array([dual(0), *map_threads(dual, range(1, len(target)), threads)])
    if scheme.prefix_exact or k == 1:
        return values, "exact dual"
    if k > CERTIFIED:
        return values, BOUND
    found = certified_optima(target, draft, k, scheme, threads)
    if not all(bool(one.certified) for one in found):
        return values, BOUND
    return np.array([float(one.value) for one in found]), "certified"
