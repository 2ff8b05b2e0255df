"""What a path rule is: it decides whether a drafted x_0 stands, and draws what replaces it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import ClassVar, NamedTuple

import numpy as np

from spectheory.continuous.path_chain import DenoisingChain, Path, draw_path
from spectheory.continuous.path_residual import Redraw
from spectheory.discovery import find, named
from spectheory.errors import ShapeError


class Examination(NamedTuple):
    """The verdict on drafted paths, and the way to replace those that fell.

    Attributes:
        accepted: ``(n,)`` whether the drafted x_0 stands.
        log_ratio: ``(n,)`` logarithm of the ratio that was compared with a uniform number.
        redraw: maps the numbers of rejected rows ``(r,)`` to a `Redraw`. Generation calls it for
            the first rejection of each sequence only.
    """

    accepted: np.ndarray
    log_ratio: np.ndarray
    redraw: Callable[[np.ndarray], Redraw]


class PathDraw(NamedTuple):
    """Outputs of a rule.

    Attributes:
        sample: ``(n, d)``.
        accepted: ``(n,)`` whether the sample is the drafted one.
        proposals: ``(n,)`` target draws that went into replacing it; 0 if accepted.
        draft: ``(n, d)`` what was drafted.
        log_ratio: ``(n,)`` see `Examination`.
    """

    sample: np.ndarray
    accepted: np.ndarray
    proposals: np.ndarray
    draft: np.ndarray
    log_ratio: np.ndarray


@dataclass(frozen=True)
class PathRule(ABC):
    """A rule that verifies x_0 of a denoising chain; subclasses are frozen dataclasses.

    Class facts:
        reference: citation key of the source.
        lossless: whether the output law is that of the target chain's x_0 (law-lossless).
        exact_for_shared_variances: a lossy rule that is law-lossless where both chains have the
            same kernel covariances.
        truncates: whether what was drafted after a rejection is to be dropped.
        needs_marginals: works only on chains that know the law of their x_0.
        equal_scales: works only where both chains have the same kernel covariances.
    """

    reference: ClassVar[str]
    lossless: ClassVar[bool] = True
    exact_for_shared_variances: ClassVar[bool] = False
    truncates: ClassVar[bool] = True
    needs_marginals: ClassVar[bool] = False
    equal_scales: ClassVar[bool] = False

    @property
    @abstractmethod
    def key(self) -> str:
        """Name in the API, the command line and tables."""

    @classmethod
    def examples(cls) -> Iterator[PathRule]:
        """The instances that tests and tables use."""
        yield cls()

    def propose(self, draft: DenoisingChain, n: int, rng: np.random.Generator) -> Path:
        """Paths of the draft chain for n rows."""
        return draw_path(draft, n, rng)

    @abstractmethod
    def examine(
        self, target: DenoisingChain, draft: DenoisingChain, path: Path, rng: np.random.Generator
    ) -> Examination:
        """Test each row of a path that `propose` made from ``draft``."""

    def draw(
        self, target: DenoisingChain, draft: DenoisingChain, n: int, rng: np.random.Generator
    ) -> PathDraw:
        """Draft, test, and replace what is rejected.

        Args:
            target: chain whose law the output should have.
            draft: chain that proposes, of the same length and dimension.
            n: rows.
            rng: of all randomness.

        Raises:
            ShapeError: chains of different lengths or dimensions.
            EmptyResidual: a lossy rule rejected where it cannot replace.
        """
        check_chains(target, draft)
        path = self.propose(draft, n, rng)
        accepted, log_ratio, redraw = self.examine(target, draft, path, rng)
        sample, proposals = path.sample.copy(), np.zeros(n, dtype=np.int64)
        rejected = np.flatnonzero(~accepted)
        if len(rejected):
            sample[rejected], proposals[rejected] = redraw(rejected)
        return PathDraw(sample, accepted, proposals, path.sample, log_ratio)


def below(log_ratio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """``(n,)``: true with probability ``min(1, exp(log_ratio))``."""
    return np.log1p(-rng.random(len(log_ratio))) <= log_ratio  # 1 - u lies in (0, 1]


def check_chains(target: DenoisingChain, draft: DenoisingChain) -> None:
    """Refuse chains that cannot be compared.

    Raises:
        ShapeError: different lengths or dimensions.
    """
    if (target.steps, target.dimension) != (draft.steps, draft.dimension):
        raise ShapeError(
            f"`target` has {target.steps} steps in {target.dimension} dimensions, `draft` "
            f"{draft.steps} in {draft.dimension}; paths can only be compared step by step"
        )


@cache
def path_rules() -> dict[str, PathRule]:
    """Every path rule by key, lossless ones first.

    >>> path_rules()["shared_noise"].lossless, path_rules()["cspd_published"].lossless
    (True, False)
    """
    found = find("spectheory.continuous", PathRule)  # type: ignore[type-abstract]
    return dict(sorted(found.items(), key=lambda item: (not item[1].lossless, item[0])))


def path_rule(key: str) -> PathRule:
    """The path rule with that key.

    Raises:
        UnknownName: no such rule; the message lists those there are.
    """
    return named(path_rules(), key, "path rule")
