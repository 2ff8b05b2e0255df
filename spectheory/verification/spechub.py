"""SpecHub: two drafts, of which one is always the draft's most probable token, the hub."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from spectheory.arrays import (
    Array,
    capped_ratio,
    is_token,
    namespace,
    pick,
    positive_part,
    total,
    without,
)
from spectheory.distributions import normalise
from spectheory.drafting.greedy import rest_law, top_tokens
from spectheory.errors import ImpossibleDraft
from spectheory.verdict import Verdict
from spectheory.verification.rule import Rates, VerificationRule


@dataclass(frozen=True)
class SpecHub(VerificationRule):
    """Spend each pair's mass on the other token first, and what is left on the hub.

    With hub a and ``w = q / (1 - q(a))`` off a, the pair {a, x} occurs with probability w(x).
    Output x with mass ``min(p(x), w(x))``; the leftover L goes to a up to p(a), and what then
    remains of p is the residual law. Acceptance ``p(a) + sum_{x != a} min(p, w)``, optimal for
    this draft law; the ladder falls short of it when p(a) > L.

    Reference: sun2024spechub, Algorithm 1. The published pair law ``Q(x, a) = q(x)``,
    ``Q(a, x) = q(a) q(x) / (1 - q(a))`` has the same set law as `greedy` with k = 2; the order of
    the two drafts is not used.

    >>> import numpy as np
    >>> p, q = np.array([0.3, 0.4, 0.3]), np.array([0.6, 0.3, 0.1])
    >>> round(float(SpecHub().rates(p, q, 2, "greedy").acceptance), 12)
    0.95
    """

    key: ClassVar[str] = "spechub"
    reference: ClassVar[str] = "sun2024spechub"
    lossless_under: ClassVar[tuple[str, ...]] = ("greedy",)
    dominates: ClassVar[tuple[str, ...]] = ("nss",)
    least_drafts: ClassVar[int] = 2
    most_drafts: ClassVar[int | None] = 2

    def _verdict(self, target: Array, draft: Array, drafts: Array) -> Verdict:
        xp = namespace(target, draft)
        hub, to_hub, left = _plan(target, draft)
        rest = rest_law(draft, 2)
        is_hub = drafts == hub
        if bool(xp.any(is_hub[..., 0] == is_hub[..., 1])):
            raise ImpossibleDraft(
                "`drafts` holds a pair without the hub, the most probable token of `draft`; rule "
                f"`{self.key}` is for pairs of the hub and another token"
            )
        other = xp.where(is_hub[..., 0], drafts[..., 1], drafts[..., 0])
        take_other = capped_ratio(pick(target, other), pick(rest, other))
        take_hub = (1 - take_other) * to_hub
        masses = xp.where(is_hub, take_hub[..., None], take_other[..., None])
        return Verdict.from_masses(drafts, masses, normalise(left, fallback=target))

    def _rates(self, target: Array, draft: Array, k: int, scheme: str) -> Rates:
        hub, to_hub, _ = _plan(target, draft)
        first = total(namespace(target).minimum(without(target, hub[..., 0]), rest_law(draft, 2)))
        on_hub = pick(target, hub[..., 0])
        ladder = first[..., 0] + (1 - first[..., 0]) * to_hub
        return Rates(first[..., 0] + on_hub, ladder)


def _plan(target: Array, draft: Array) -> tuple[Array, Array, Array]:
    """Hub ``(..., 1)``, share of leftover mass spent on it ``(...)``, unmet target ``(..., V)``."""
    xp = namespace(target, draft)
    hub = top_tokens(draft, 1)
    token = hub[..., 0]
    off_hub = without(target, token)
    rest = rest_law(draft, 2)
    leftover = total(positive_part(rest - off_hub))[..., 0]
    on_hub = pick(target, token)
    to_hub = capped_ratio(on_hub, leftover)
    unmet_hub = positive_part(on_hub - leftover)
    unmet = positive_part(off_hub - rest)
    left = xp.where(is_token(token, target), unmet_hub[..., None] + target * 0, unmet)
    return hub, to_hub, left
