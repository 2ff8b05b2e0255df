"""The exact optimal rule for i.i.d. drafts as a plan: a score for each draft, the highest wins.

Draft token X_i draws a score V_i from a law K(X_i) on [0, 1] under which a random draft's score is
uniform. The highest score wins and its token is output if the score is above
u0 = (1 - alpha*)^(1/k); otherwise the output is a draw from (p - m) / (1 - alpha*). A draft with
score v > u0 wins with probability v^(k-1), so token x is output by acceptance with mass

    q(x) E[s(V) | x] = m(x) = min(p(x), c q(x)),        s(v) = k v^(k-1) 1[v > u0].

By Border's condition, m(U) for a uniform rank U is dominated by s(V) in convex order, so such K
exist (Strassen); `spectheory.kernels.score_kernel` builds the left-curtain one in O(V) pieces after
a sort. The residual is what the pieces, as rounded, leave of the target, so the output law does
not depend on the precision of any root.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from spectheory.arrays import Array
from spectheory.distributions import check_pmf
from spectheory.drafting.scheme import check_possible
from spectheory.errors import ShapeError
from spectheory.transport.iid_value import iid_optimum, rows_of
from spectheory.verdict import Draw, Verdict


@dataclass(frozen=True)
class ScoreKernelPlan:
    """A lossless rule for k i.i.d. drafts of one position; made by `score_kernel_plan`.

    Attributes:
        target, draft: ``(V,)`` float64, normalised.
        k: number of drafts.
        accepted_mass: ``(V,)`` probability that each token is output as an accepted draft.
        residual: ``(V,)`` law of the output where no draft is accepted.
        loss_bound: no lossless rule has an acceptance above ``value + loss_bound``.
    """

    target: Array
    draft: Array
    k: int
    accepted_mass: Array
    residual: Array
    loss_bound: float
    running: Array = field(repr=False)
    pieces: tuple[np.ndarray, ...] = field(repr=False)

    @property
    def value(self) -> float:
        """Probability that a draft is accepted."""
        return float(self.accepted_mass.sum())

    def verdict(self, drafts: Array) -> Verdict:
        """The law of the output given the drafts, scores integrated out exactly.

        Args:
            drafts: ``(..., k)`` integer tokens.

        Raises:
            ImpossibleDraft: a token outside the vocabulary, or of draft probability 0.
            ShapeError: the last axis is not k long.
        """
        from spectheory.kernels.score_draws import slot_masses

        drafts = self._checked(drafts)
        nodes, weights = np.polynomial.legendre.leggauss(self.k // 2 + 1)
        masses = np.empty(drafts.shape)
        slot_masses(
            drafts.reshape(-1, self.k),
            self.target,
            self.draft,
            self.pieces,
            (nodes + 1) / 2,
            weights / 2,
            masses.reshape(-1, self.k),
        )
        residual = np.broadcast_to(self.residual, (*drafts.shape[:-1], len(self.residual)))
        return Verdict.from_masses(drafts, masses, residual)

    def sample(self, drafts: Array, uniforms: Array) -> Draw:
        """Draw the output: O(k) work for the scores, one binary search for the residual.

        Args:
            drafts: ``(..., k)`` integer tokens.
            uniforms: ``(..., k + 1)`` in [0, 1): entry i makes the score of draft i, entry k draws
                from the residual by inverse transform. Each is used once.

        Raises:
            ImpossibleDraft, ShapeError: see `verdict`.
        """
        from spectheory.kernels.score_draws import draw_rows

        drafts = self._checked(drafts)
        uniforms = np.ascontiguousarray(uniforms, dtype=np.float64)
        tape = (*drafts.shape[:-1], self.k + 1)
        if uniforms.shape != tape:
            raise ShapeError(
                f"`uniforms` has shape {uniforms.shape}; expected {tape}: one for each of "
                f"{self.k} drafts and one for the residual"
            )
        token = np.empty(drafts.shape[:-1], np.int64)
        slot = np.empty(drafts.shape[:-1], np.int64)
        draw_rows(
            drafts.reshape(-1, self.k),
            uniforms.reshape(-1, self.k + 1),
            self.target,
            self.draft,
            self.running,
            self.pieces,
            token.reshape(-1),
            slot.reshape(-1),
        )
        return Draw(token, slot)

    def _checked(self, drafts: Array) -> np.ndarray:
        drafts = np.asarray(drafts)
        if drafts.ndim < 1 or drafts.shape[-1] != self.k:
            raise ShapeError(f"`drafts` has shape {drafts.shape}; expected (..., {self.k})")
        check_possible(self.draft, drafts)
        return np.ascontiguousarray(drafts, dtype=np.int64)


def score_kernel_plan(target: Array, draft: Array, k: int) -> ScoreKernelPlan:
    """The plan that attains the optimum for k i.i.d. drafts, to k * 2^-44 and rounding.

    Tokens of one ratio share their pieces, and so do runs of tokens of neighbouring ratios with
    less than 2^-44 of draft mass in all; every other token has its own.

    Args:
        target, draft: ``(V,)`` float64 or float32.
        k: number of drafts.

    Raises:
        DistributionError, ShapeError, VocabularyMismatch: bad laws, or more than one position.
        InputError: see `iid_optimum`.

    >>> p, q = np.array([0.3, 0.4, 0.3]), np.array([0.6, 0.3, 0.1])
    >>> plan = score_kernel_plan(p, q, 2)
    >>> plan.value, plan.accepted_mass.tolist(), plan.residual.tolist()
    (0.89, [0.3, 0.4, 0.19], [0.0, 0.0, 1.0])
    >>> plan.verdict(np.array([0, 2])).masses().tolist()
    [0.0, 1.0, 0.0]
    >>> plan.sample(np.array([0, 2]), np.array([0.5, 0.5, 0.5]))
    Draw(token=array(2), slot=array(1))
    """
    from spectheory.kernels.score_draws import Pieces
    from spectheory.kernels.score_kernel import capped_ratios, plan_tokens

    target, draft = one_position(target, draft, k)
    dual = float(iid_optimum(target, draft, k).value)
    ratios = capped_ratios(target, draft, k)
    masses, (group_of, *pieces) = plan_tokens(target, draft, np.argsort(ratios), ratios, int(k))
    own = np.arange(len(pieces[0]) - 1, dtype=np.int32)  # each group is a bin of its own
    return assemble(
        target, draft, k, dual, masses, Pieces(group_of, own, own, np.empty(0), *pieces)
    )


def assemble(
    target: np.ndarray,
    draft: np.ndarray,
    k: int,
    dual: float,
    masses: tuple[np.ndarray, ...],
    pieces: tuple[np.ndarray, ...],
) -> ScoreKernelPlan:
    """The plan from what a set-up kernel returns; ``dual`` bounds every rule's acceptance."""
    accepted, residual, running = masses
    lost = max(dual - float(accepted.sum()), 0.0)
    return ScoreKernelPlan(target, draft, int(k), accepted, residual, lost, running, pieces)


def one_position(target: Array, draft: Array, k: int) -> tuple[np.ndarray, np.ndarray]:
    """A checked pair of ``(V,)`` laws as float64, each divided by its sum."""
    from spectheory.kernels.iid_value import normalise_into

    targets, drafts, shape = rows_of(target, draft, k)
    if shape:
        raise ShapeError(
            f"the laws have batch shape {shape}; a plan is for one position, shape (V,)"
        )
    normalised = np.empty_like(targets[0]), np.empty_like(drafts[0])
    for name, law, given, out in (
        ("target", targets[0], target, normalised[0]),
        ("draft", drafts[0], draft, normalised[1]),
    ):
        mass, lowest = normalise_into(law, out)
        if not (abs(mass - 1) <= 1e-9 and lowest >= 0):
            check_pmf(name, given)
    return normalised
