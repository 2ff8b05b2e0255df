"""Random numbers that are used twice, or too coarse."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spectheory.arrays import capped_ratio
from spectheory.audit.sampler import categorical
from spectheory.zoo.single_draft import Parts, SingleDraft

HALF_STEPS = 2048
"""Float16 uniforms above one half are multiples of 1 / 2048, the last of them 2047 / 2048."""


@dataclass(frozen=True)
class WordTwice(SingleDraft):
    """The uniform that failed the accept test draws the replacement too.

    Given a rejected x it is uniform on [a(x), 1), so the replacement comes from the upper part of
    the residual's running sum. With ``I(u) = sum_x d(x) (u - a(x))_+`` the mass of token y is
    ``I(R(y)) - I(R(y - 1))``, R being that running sum.
    """

    key = "philox_word_twice"
    mechanism = "one random word decides both acceptance and the residual's inverse transform"
    sources = ("https://github.com/vllm-project/vllm-ascend/issues/16370",)

    def after_rejection(self, parts: Parts) -> np.ndarray:
        if self.mended:
            return parts.residual
        order = np.argsort(parts.accept)
        levels, mass = parts.accept[order], parts.drafted[order]
        running = np.minimum(np.cumsum(parts.residual), 1.0)
        running[-1] = 1.0
        below = np.searchsorted(levels, running, side="right")
        masses = np.concatenate([[0.0], np.cumsum(mass)])[below]
        moments = np.concatenate([[0.0], np.cumsum(mass * levels)])[below]
        law = np.diff(masses * running - moments, prepend=0.0)
        return np.maximum(law, 0) / max(law.sum(), np.finfo(float).tiny)

    def replace_rejected(
        self, parts: Parts, rejected: np.ndarray, uniforms: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        if self.mended:
            return super().replace_rejected(parts, rejected, uniforms, rng)
        return categorical(parts.residual, uniforms)


@dataclass(frozen=True)
class HalfUniforms(SingleDraft):
    """Drafts win a race of ``-log(u) / q`` whose uniforms are float16, as are the accept tests'.

    The least arrival a token can have is ``2**-11 / q``, so tokens with q well below 2**-11 are
    hardly ever drafted, while the verifier uses q itself. Only the uniforms are coarse here, and
    equally so everywhere (below one half, where no race is won, float16 is finer); what follows
    them is float64.
    """

    key = "half_uniforms"
    mechanism = "the draft race and the accept test use float16 uniforms, of 11 bits"
    sources = ("https://github.com/Infini-AI-Lab/Sequoia/blob/main/Tree/SpecTree.py",)

    def drafted(self, target: np.ndarray, draft: np.ndarray) -> np.ndarray:
        return coarse_race(draft, HALF_STEPS)

    def accept(self, target: np.ndarray, draft: np.ndarray) -> np.ndarray:
        return np.ceil(np.asarray(capped_ratio(target, draft)) * HALF_STEPS) / HALF_STEPS


def coarse_race(law: np.ndarray, steps: int) -> np.ndarray:
    """Law of ``argmin_x -log(u_x) / law(x)`` with u uniform on ``{0, 1, .., steps - 1} / steps``.

    Arrivals are gone through in order of time; one at which a fraction s of the token's own values
    is still to come has probability ``1 / steps`` times the survival of all others. Arrivals later
    than any that could matter are left out, and ties go to the lower token.

    >>> coarse_race(np.array([0.5, 0.5]), 4).round(4).tolist()  # u = 0 never arrives
    [0.6, 0.4]
    """
    latest = 60.0  # survival there is below exp(-40) if tokens of two thirds of the mass arrive
    with np.errstate(divide="ignore"):
        counts = np.minimum(np.ceil(steps * -np.expm1(-latest * law)), steps - 1).astype(np.int64)
    counts[law <= 0] = 0
    token = np.repeat(np.arange(law.size), counts)
    nth = np.arange(token.size) - np.repeat(np.cumsum(counts) - counts, counts)
    level = (steps - 1 - nth) / steps  # a token's arrivals, first to last
    order = np.lexsort((token, -np.log(level) / law[token]))
    token, level = token[order], level[order]
    own = level + 1 / steps  # the token's own survival just before
    jumps = np.log(level / own)
    survival = np.concatenate([[0.0], np.cumsum(jumps)[:-1]]) - np.log(own)
    masses = np.bincount(token, np.exp(survival) / steps, minlength=law.size)
    return masses / masses.sum()
