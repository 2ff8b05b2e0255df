"""One draft, one accept test, one residual: three laws, of which a mistake spoils one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from spectheory.arrays import capped_ratio
from spectheory.audit.sampler import Draws, categorical
from spectheory.distributions import residual
from spectheory.zoo.cases import language_pair
from spectheory.zoo.entry import ZooEntry


class Parts(NamedTuple):
    """The laws that make up a step, each ``(V,)``.

    Attributes:
        drafted: law that the draft really comes from.
        accept: probability that each token is accepted if drafted.
        residual: law of the token that replaces a rejected draft.
    """

    drafted: np.ndarray
    accept: np.ndarray
    residual: np.ndarray


@dataclass(frozen=True)
class SingleDraft(ZooEntry):
    """Rejection sampling with one draft; an entry overrides the part that its mistake changes.

    The output law is ``d a + (1 - sum d a) r`` with d, a, r the three parts. Mended, every part is
    the one below, and the law is the target's.

    Reference: leviathan2023fast, Theorem 3.5.
    """

    def drafted(self, target: np.ndarray, draft: np.ndarray) -> np.ndarray:
        """Law that drafts come from."""
        return draft

    def accept(self, target: np.ndarray, draft: np.ndarray) -> np.ndarray:
        """Probability of accepting each token."""
        return np.asarray(capped_ratio(target, draft))

    def residual(self, target: np.ndarray, draft: np.ndarray) -> np.ndarray:
        """Law after a rejection."""
        return np.asarray(residual(target, draft))

    def parts(self, target: np.ndarray, draft: np.ndarray) -> Parts:
        """The three laws in force."""
        source = SingleDraft if self.mended else type(self)
        return Parts(
            source.drafted(self, target, draft),
            source.accept(self, target, draft),
            source.residual(self, target, draft),
        )

    def output_law(self, target: np.ndarray, draft: np.ndarray) -> np.ndarray:
        parts = self.parts(target, draft)
        taken = parts.drafted * parts.accept
        return taken + (1 - taken.sum()) * self.after_rejection(parts)

    def acceptance(self, target: np.ndarray, draft: np.ndarray) -> float:
        parts = self.parts(target, draft)
        return float(parts.drafted @ parts.accept)

    def __call__(self, target: np.ndarray, draft: np.ndarray, n: int, seed: int) -> Draws:
        rng = np.random.default_rng(seed)
        parts = self.parts(target, draft)
        tokens = categorical(parts.drafted, rng.random(n))
        uniforms = rng.random(n)
        accepted = uniforms < parts.accept[tokens]
        lost = ~accepted
        tokens[lost] = self.replace_rejected(parts, tokens[lost], uniforms[lost], rng)
        return Draws(tokens, accepted)

    def after_rejection(self, parts: Parts) -> np.ndarray:
        """``(V,)`` law of the replacement, averaged over what is rejected."""
        return parts.residual

    def replace_rejected(
        self,
        parts: Parts,
        rejected: np.ndarray,
        uniforms: np.ndarray,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """The tokens that replace rejected drafts.

        Args:
            parts: the laws in force.
            rejected: ``(m,)`` drafts.
            uniforms: ``(m,)`` the uniforms that failed their accept tests.
            rng: for fresh randomness.
        """
        return categorical(parts.residual, rng.random(len(rejected)))

    def case(self) -> tuple[np.ndarray, np.ndarray]:
        return language_pair()
