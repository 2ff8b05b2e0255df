"""What a coupling of a density pair is: drafts from q and an output from p, equal when it can be.

A coupling is law-lossless: whatever happens to the drafts, the output has the target's law.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, ClassVar, NamedTuple

import numpy as np

from spectheory.continuous.multi_draft import check_drafts
from spectheory.continuous.overlap import ratio_law
from spectheory.continuous.pair import ContinuousPair
from spectheory.continuous.path_residual import Redraw, redraw
from spectheory.discovery import find, named
from spectheory.errors import InputError, NoRatioLaw, SchemeMismatch, ShapeError


class Coupled(NamedTuple):
    """Outputs of a coupling.

    Attributes:
        sample: ``(n, d)`` outputs, each with the target's law.
        slot: ``(n,)`` draft that the output is, or k where it is none.
        proposals: ``(n,)`` draws of the target that went into replacing the drafts; 0 if accepted,
            or where the residual is drawn without a loop.
        drafts: ``(n, k, d)``, each with the draft's law.
    """

    sample: np.ndarray
    slot: np.ndarray
    proposals: np.ndarray
    drafts: np.ndarray

    @property
    def accepted(self) -> np.ndarray:
        """``(n,)`` whether the output is a draft."""
        return np.asarray(self.slot < self.drafts.shape[1])


class Coupling(ABC):
    """A law-lossless coupling; subclasses are frozen dataclasses that carry their parameters.

    Class facts:
        key: name in the API and tables.
        reference: citation key of the source.
        most_drafts: largest k it is defined for; None for any.
    """

    key: ClassVar[str]
    reference: ClassVar[str]
    most_drafts: ClassVar[int | None] = 1

    @classmethod
    def examples(cls) -> Iterator[Coupling]:
        """The instances that tests and tables use."""
        yield cls()

    # -- public, checked ---------------------------------------------------------------------

    def draw(self, pair: ContinuousPair, n: int, rng: np.random.Generator, k: int = 1) -> Coupled:
        """Draw drafts and outputs n times, independently.

        Args:
            pair: target and draft.
            n: number of runs.
            rng: the only source of randomness.
            k: drafts of a run.

        Raises:
            SchemeMismatch: the coupling is not defined for this pair or k; see `refusal`.
        """
        self.check(pair, k)
        return self._draw(pair, n, rng, k)

    def acceptance(self, pair: ContinuousPair, k: int = 1) -> float:
        """P(the output is a draft), exactly.

        Raises:
            SchemeMismatch: see `draw`.
            NoRatioLaw: there is no way to compute it for this pair.
        """
        self.check(pair, k)
        return self._acceptance(pair, k)

    def serves(self, pair: ContinuousPair, k: int = 1) -> bool:
        """Whether the coupling is defined for the pair and k drafts."""
        return (self.most_drafts is None or k <= self.most_drafts) and not self.refusal(pair, k)

    def check(self, pair: ContinuousPair, k: int) -> None:
        """Refuse a pair or k that the coupling is not defined for.

        Raises:
            InputError: k is no integer of at least 1.
            SchemeMismatch: as said.
        """
        check_drafts(k)
        if self.most_drafts is not None and k > self.most_drafts:
            raise SchemeMismatch(
                f"`k` is {k}; coupling `{self.key}` is defined for up to {self.most_drafts}"
            )
        reason = self.refusal(pair, k)
        if reason:
            raise SchemeMismatch(f"coupling `{self.key}` does not serve this pair: {reason}")

    # -- what a coupling defines -------------------------------------------------------------

    @abstractmethod
    def _draw(self, pair: ContinuousPair, n: int, rng: np.random.Generator, k: int) -> Coupled:
        """See `draw`."""

    @abstractmethod
    def _acceptance(self, pair: ContinuousPair, k: int) -> float:
        """See `acceptance`."""

    def refusal(self, pair: ContinuousPair, k: int) -> str:
        """Why the coupling is not defined for the pair; empty if it is."""
        return ""


class DraftedCoupling(Coupling):
    """A coupling that takes drafts as they come: they may be another program's draws from q."""

    def verify(self, pair: ContinuousPair, drafts: Any, rng: np.random.Generator) -> Coupled:
        """Output for drafts at hand.

        Args:
            pair: target and draft.
            drafts: ``(n, k, d)`` independent draws of the draft density; ``(n, d)`` for k = 1.
            rng: decides, and draws what replaces them.

        Raises:
            SchemeMismatch: see `draw`.
            ShapeError: drafts of another dimension.
            InputError: NaN or infinite drafts.
        """
        values = np.asarray(drafts, dtype=np.float64)
        if values.ndim == 2:
            values = values[:, None, :]
        if values.ndim != 3 or values.shape[-1] != pair.dimension:
            raise ShapeError(
                f"`drafts` has shape {np.shape(drafts)}; expected (n, k, {pair.dimension})"
            )
        if not np.isfinite(values).all():
            raise InputError(
                f"`drafts` holds {values[~np.isfinite(values)][0]}; expected finite numbers"
            )
        self.check(pair, values.shape[1])
        return self._verify(pair, values, rng)

    def _draw(self, pair: ContinuousPair, n: int, rng: np.random.Generator, k: int) -> Coupled:
        drafts = pair.draft.sample(n * k, rng).reshape(n, k, pair.dimension)
        return self._verify(pair, drafts, rng)

    @abstractmethod
    def _verify(
        self, pair: ContinuousPair, drafts: np.ndarray, rng: np.random.Generator
    ) -> Coupled:
        """See `verify`."""


def needs_ratio_law(pair: ContinuousPair) -> str:
    """The refusal of a coupling whose parameters come from the law of the ratio."""
    try:
        ratio_law(pair)
    except NoRatioLaw as error:
        return str(error)
    return ""


def log_ratios(pair: ContinuousPair, drafts: np.ndarray) -> np.ndarray:
    """``(n, k)`` log ratios of ``(n, k, d)`` drafts."""
    return pair.log_ratio(drafts.reshape(-1, pair.dimension)).reshape(drafts.shape[:2])


def first_accepted(chance: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """``(n,)``: first slot taken if slot i is with ``chance[:, i]``; k where none is."""
    taken = rng.random(chance.shape) < chance
    return np.where(taken.any(axis=1), taken.argmax(axis=1), chance.shape[1])


def replaced(
    pair: ContinuousPair,
    drafts: np.ndarray,
    slot: np.ndarray,
    log_kept: Callable[[np.ndarray], np.ndarray],
    rng: np.random.Generator,
    of_points: bool = False,
) -> Coupled:
    """The accepted drafts, and draws of the residual ``p - m`` by rejection from p for the rest.

    Args:
        pair, drafts, slot: as in `Coupled`.
        log_kept: maps log ratios to ``log(p / m)``, m the density of accepted outputs.
        rng: of the residual.
        of_points: ``log_kept`` is to be given the points themselves.

    Raises:
        EmptyResidual: something was rejected, and the residual has no mass to draw from.
    """
    n, k, dimension = drafts.shape
    sample = drafts[np.arange(n), np.minimum(slot, k - 1)]
    proposals = np.zeros(n, dtype=np.int64)

    def propose(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        points = pair.target.sample(len(rows), rng)
        return points, log_kept(points if of_points else pair.log_ratio(points))

    rejected = np.flatnonzero(slot == k)
    drawn: Redraw = redraw(propose, rejected, dimension, rng)
    sample[rejected], proposals[rejected] = drawn
    return Coupled(sample, slot, proposals, drafts)


@cache
def couplings() -> dict[str, Coupling]:
    """Every coupling by key.

    >>> sorted(couplings())[:3]
    ['k_seq', 'optimal', 'poisson_functional']
    """
    return find("spectheory.continuous", Coupling)  # type: ignore[type-abstract]


def coupling(key: str) -> Coupling:
    """The coupling with that key.

    Raises:
        UnknownName: no such coupling; the message lists those there are.
    """
    return named(couplings(), key, "coupling")
