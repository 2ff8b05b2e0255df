"""NSS: draw from the target, and count a hit if the token was drafted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from spectheory.arrays import Array, namespace, pick, total
from spectheory.distributions import normalise
from spectheory.drafting.scheme import scheme as draft_scheme
from spectheory.verdict import Verdict
from spectheory.verification.rule import Rates, VerificationRule, among, unique_slots


@dataclass(frozen=True)
class NaiveSampling(VerificationRule):
    """Draw ``Y ~ p``; it is accepted if it is among the drafts.

    Lossless for any draft law whatever, since the drafts do not touch Y. Acceptance
    ``sum_x p(x) P(x in drafts)``; optimal where the draft set is deterministic. As a ladder: draft
    i is taken with its target mass, given that no earlier one was.

    Reference: miao2024specinfer, section 4 (naive sampling).

    >>> import numpy as np
    >>> p = q = np.array([0.6, 0.4])
    >>> round(float(NaiveSampling().rates(p, q, 1).acceptance), 12)
    0.52
    """

    key: ClassVar[str] = "nss"
    reference: ClassVar[str] = "miao2024specinfer"
    maximal_at_one: ClassVar[bool] = False
    lossless_under: ClassVar[tuple[str, ...]] = (
        "iid",
        "without_replacement",
        "distinct",
        "greedy",
        "heterogeneous",
    )

    def _verdict(self, target: Array, draft: Array, drafts: Array) -> Verdict:
        xp = namespace(target)
        mass = xp.stack([pick(target, drafts[..., i]) for i in range(drafts.shape[-1])], axis=-1)
        mass = xp.where(unique_slots(drafts), mass, mass * 0)
        left = xp.where(among(drafts, target), target * 0, target)
        return Verdict.from_masses(drafts, mass, normalise(left, fallback=target))

    def _rates(self, target: Array, draft: Array, k: int, scheme: str) -> Rates | None:
        included = draft_scheme(scheme).inclusion(draft, k)
        if included is None:
            return None
        hit = total(target * included)[..., 0]
        return Rates(hit, hit)
