"""Rules made wrong on purpose, most as engines have been. The conformance suite must reject all.

Most derive from the right rule, so that the mistake is all there is to see.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from spectheory.arrays import (
    Array,
    capped_ratio,
    is_exact,
    namespace,
    pick,
    positive_part,
    without,
)
from spectheory.distributions import normalise, rank_descending, residual
from spectheory.verdict import Draw, Verdict
from spectheory.verification.greedy_optimal import GreedyOptimal
from spectheory.verification.k_seq import KSeq
from spectheory.verification.naive import Naive
from spectheory.verification.recursive import Recursive
from spectheory.verification.recursive_without_replacement import RecursiveWithoutReplacement
from spectheory.verification.rejection import Rejection
from spectheory.verification.rule import Rates
from spectheory.verification.threshold import Threshold


@dataclass(frozen=True)
class ResidualNotRenormalised(Rejection):
    """The residual is (p - q)_+ without its normaliser."""

    def _verdict(self, target: Array, draft: Array, drafts: Array) -> Verdict:
        right = super()._verdict(target, draft, drafts)
        return Verdict(drafts, right.accept, positive_part(target - draft))


@dataclass(frozen=True)
class ResidualIsTarget(Rejection):
    """After a rejection the target is sampled, as if nothing had been tried."""

    def _verdict(self, target: Array, draft: Array, drafts: Array) -> Verdict:
        right = super()._verdict(target, draft, drafts)
        return Verdict(drafts, right.accept, target + right.residual * 0)


@dataclass(frozen=True)
class RatioInverted(Rejection):
    """Accepts with min(1, q / p)."""

    def _verdict(self, target: Array, draft: Array, drafts: Array) -> Verdict:
        right = super()._verdict(target, draft, drafts)
        token = drafts[..., 0]
        accept = capped_ratio(pick(draft, token), pick(target, token))
        return Verdict(drafts, accept[..., None], right.residual)


@dataclass(frozen=True)
class DraftLawNotTheOneSampled(Rejection):
    """Verifies against the draft's law before a temperature that the drafter applied."""

    def _verdict(self, target: Array, draft: Array, drafts: Array) -> Verdict:
        flattened = normalise(draft + draft * draft, fallback=draft)
        return super()._verdict(target, flattened, drafts)


@dataclass(frozen=True)
class _OneUniformTwice(Verdict):
    def sample(self, uniforms: Array) -> Draw:
        reused = namespace(uniforms).concat([uniforms[..., :-1], uniforms[..., :1]], axis=-1)
        return super().sample(reused)


@dataclass(frozen=True)
class AcceptUniformReused(Rejection):
    """The uniform that failed the accept test is used again to draw from the residual."""

    def _verdict(self, target: Array, draft: Array, drafts: Array) -> Verdict:
        right = super()._verdict(target, draft, drafts)
        return _OneUniformTwice(right.drafts, right.accept, right.residual)


@dataclass(frozen=True)
class GreedyDraftSoftLaw(Recursive):
    """Deterministic top-k drafts verified as if each had been sampled from the soft draft law."""

    lossless_under = ("greedy",)


@dataclass(frozen=True)
class DeletedBeforeResidual(RecursiveWithoutReplacement):
    """The rejected token leaves the draft law before the residual is formed, not after."""

    def _verdict(self, target: Array, draft: Array, drafts: Array) -> Verdict:
        left, law, accept = target, draft, []
        for i in range(drafts.shape[-1]):
            token = drafts[..., i]
            accept.append(capped_ratio(pick(left, token), pick(law, token)))
            law = normalise(without(law, token), fallback=law)
            left = residual(left, law)
        return Verdict(drafts, namespace(target).stack(accept, axis=-1), left)

    def _rates(self, target: Array, draft: Array, k: int, scheme: str) -> Rates | None:
        return None


@dataclass(frozen=True)
class SortedChildren(RecursiveWithoutReplacement):
    """The drafts are sorted by draft probability before they are tried."""

    def _verdict(self, target: Array, draft: Array, drafts: Array) -> Verdict:
        xp = namespace(drafts)
        rank = rank_descending(draft)
        ranks = xp.stack([pick(rank, drafts[..., i]) for i in range(drafts.shape[-1])], axis=-1)
        order = xp.argsort(ranks, axis=-1, stable=True)
        return super()._verdict(target, draft, xp.take_along_axis(drafts, order, axis=-1))

    def _rates(self, target: Array, draft: Array, k: int, scheme: str) -> Rates | None:
        return None


@dataclass(frozen=True)
class NothingDeleted(Recursive):
    """Drafts without replacement verified as if they were independent."""

    lossless_under = ("without_replacement",)

    def _rates(self, target: Array, draft: Array, k: int, scheme: str) -> Rates | None:
        return None


@dataclass(frozen=True)
class IndependentRetries(Recursive):
    """Each draft is tried against the full target, the residual formed once at the end."""

    def _verdict(self, target: Array, draft: Array, drafts: Array) -> Verdict:
        xp = namespace(target)
        accept = [
            capped_ratio(pick(target, drafts[..., i]), pick(draft, drafts[..., i]))
            for i in range(drafts.shape[-1])
        ]
        return Verdict(drafts, xp.stack(accept, axis=-1), residual(target, draft))

    def _rates(self, target: Array, draft: Array, k: int, scheme: str) -> Rates | None:
        return None


@dataclass(frozen=True)
class SlowdownTooSmall(KSeq):
    """K-SEQ with rho = 1, below rho*, its residual clipped at zero."""

    def slowdown(self, target: Array, draft: Array, k: int) -> Array:
        return super().slowdown(target, draft, k) * 0 + 1


@dataclass(frozen=True)
class ResidualMisaligned(Naive):
    """Target and draft are subtracted with their vocabularies shifted by one index."""

    def _verdict(self, target: Array, draft: Array, drafts: Array) -> Verdict:
        right = super()._verdict(target, draft, drafts)
        shifted = namespace(draft).roll(draft, 1, axis=-1)
        return Verdict(drafts, right.accept, residual(target, shifted))


@dataclass(frozen=True)
class FixedDraftsForgotten(GreedyOptimal):
    """The residual leaves out the target's mass on the fixed drafts."""

    def _verdict(self, target: Array, draft: Array, drafts: Array) -> Verdict:
        right = super()._verdict(target, draft, drafts)
        xp = namespace(target)
        k = drafts.shape[-1]
        kept = xp.concat([right.accept[..., : k - 1] * 0, right.accept[..., k - 1 :]], axis=-1)
        return Verdict(drafts, kept, right.residual)


@dataclass(frozen=True)
class AcceptsSlightlyTooMuch(Rejection):
    """A bias of 1 % in the accept test."""

    def _verdict(self, target: Array, draft: Array, drafts: Array) -> Verdict:
        right = super()._verdict(target, draft, drafts)
        factor = Fraction(101, 100) if is_exact(target) else 1.01
        accept = right.accept * factor
        return Verdict(drafts, namespace(accept).minimum(accept, accept * 0 + 1), right.residual)


@dataclass(frozen=True)
class BiasUnderstated(Threshold):
    """A lossy rule whose declared law leaves out the residual."""

    def output_law(self, target: Array, draft: Array, k: int, scheme: str = "iid") -> Array:
        return target


@dataclass(frozen=True)
class AcceptanceOverstated(Recursive):
    """A right rule whose closed form counts every draft as a fresh try against the target."""

    def _rates(self, target: Array, draft: Array, k: int, scheme: str) -> Rates:
        right = super()._rates(target, draft, 1, "iid") if scheme == "iid" else None
        if right is None:
            return super()._rates(target, draft, k, scheme)
        missed = (1 - right.acceptance) ** k
        return Rates(1 - missed, 1 - missed)


BIASED = (
    ResidualNotRenormalised(),
    ResidualIsTarget(),
    RatioInverted(),
    DraftLawNotTheOneSampled(),
    AcceptUniformReused(),
    GreedyDraftSoftLaw(),
    DeletedBeforeResidual(),
    SortedChildren(),
    NothingDeleted(),
    IndependentRetries(),
    SlowdownTooSmall(),
    ResidualMisaligned(),
    FixedDraftsForgotten(),
    AcceptsSlightlyTooMuch(),
    BiasUnderstated(),
    AcceptanceOverstated(),
)
