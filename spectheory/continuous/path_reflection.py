"""Stepwise reflection: every denoising step is coupled by itself, until one is rejected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from spectheory.continuous.path_chain import DenoisingChain, Kernel, Path
from spectheory.continuous.path_residual import Redraw
from spectheory.continuous.path_rule import Examination, PathRule, below
from spectheory.errors import InputError


@dataclass(frozen=True)
class StepwiseReflection(PathRule):
    """Accept each drafted step with ``min(1, p / q)``; mirror the first rejected one; law-lossless.

    With kernels ``N(m_p, s^2)`` and ``N(m_q, s^2)``, z the drafted step's noise and
    ``D = (m_p - m_q) / s``, the mirrored step is ``m_p + s (z - 2 <z, e> e)``, ``e = D / |D|``: an
    exact draw of the residual, without a loop. From there the target goes on alone. Acceptance
    ``E_q prod_t min(1, r_t)``, at most that of `SamePath`.

    Raises:
        InputError: kernels of different covariances.

    Reference: debortoli2025accelerated.
    """

    reference: ClassVar[str] = "debortoli2025accelerated"
    equal_scales: ClassVar[bool] = True

    @property
    def key(self) -> str:
        return "stepwise_reflection"

    def examine(
        self, target: DenoisingChain, draft: DenoisingChain, path: Path, rng: np.random.Generator
    ) -> Examination:
        states, noise = path
        n = len(states)
        standing = np.ones(n, dtype=bool)
        failed = np.zeros(n, dtype=np.int64)
        mirrored = np.empty((n, target.dimension))
        total = np.zeros(n)
        for t in range(target.steps, 0, -1):
            p, q = target.kernel(t, states[:, t]), draft.kernel(t, states[:, t])
            shift = _standard_shift(p, q, t)
            z = noise[:, t - 1]
            log_ratio = (shift * z).sum(axis=-1) - 0.5 * (shift**2).sum(axis=-1)
            total += np.where(standing, log_ratio, 0.0)
            falls = standing & ~below(log_ratio, rng)
            failed[falls] = t
            mirrored[falls] = p.rows(falls).at(_mirror(z[falls], shift[falls]))
            standing &= ~falls

        def replace(rows: np.ndarray) -> Redraw:
            sample = np.empty((len(rows), target.dimension))
            for t in np.unique(failed[rows]):
                here = failed[rows] == t
                chain = target.rows(rows[here])
                sample[here] = chain.run_from(int(t) - 1, mirrored[rows[here]], rng)[:, 0]
            return Redraw(sample, np.ones(len(rows), dtype=np.int64))

        return Examination(standing, total, replace)


def _standard_shift(p: Kernel, q: Kernel, t: int) -> np.ndarray:
    if not np.array_equal(
        np.broadcast_to(p.scale, p.mean.shape), np.broadcast_to(q.scale, q.mean.shape)
    ):
        raise InputError(
            f"rule `stepwise_reflection` needs equal covariances; at step {t} the chains differ. "
            "Learned variances, or two temperatures? `same_path` takes those"
        )
    return (p.mean - q.mean) / p.scale


def _mirror(z: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Reflect ``(r, d)`` noise in the plane across ``shift``."""
    along = (z * shift).sum(axis=-1, keepdims=True)
    return z - 2 * along / (shift**2).sum(axis=-1, keepdims=True) * shift
