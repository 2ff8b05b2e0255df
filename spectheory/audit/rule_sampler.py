"""A verification rule with its draft scheme as a sampler that can be audited."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spectheory.drafting.scheme import DraftScheme
from spectheory.errors import InputError
from spectheory.verification.rule import VerificationRule


@dataclass(frozen=True)
class RuleSampler:
    """Draws drafts by the scheme and outputs by the rule, on float64 tapes.

    Attributes:
        rule: any rule.
        scheme: how the drafts are drawn.
        k: number of drafts.

    >>> from spectheory import rule, scheme
    >>> sampler = RuleSampler(rule("recursive"), scheme("iid"), 2)
    >>> tokens, accepted = sampler(np.array([0.3, 0.7]), np.array([0.6, 0.4]), 1000, seed=0)
    >>> tokens.shape, bool(accepted[tokens == 0].all())  # 0 is no residual token
    ((1000,), True)
    """

    rule: VerificationRule
    scheme: DraftScheme
    k: int

    def __call__(
        self, target: np.ndarray, draft: np.ndarray | None, n: int, seed: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """``(n,)`` tokens, and whether the accept ladder fired.

        Raises:
            InputError: no draft law.
        """
        if draft is None:
            raise InputError(f"rule `{self.rule.key}` needs `draft`")
        rng = np.random.default_rng(seed)
        drafts = self.scheme.sample(
            draft[None], self.k, rng.random((n, self.scheme.tape_length(self.k)))
        )
        # One verdict for equal tuples: with few tokens there are few.
        tuples, which = np.unique(drafts, axis=0, return_inverse=True)
        verdict = self.rule.verdict(target[None], draft[None], tuples)
        residual = np.broadcast_to(verdict.residual, (len(tuples), target.size))
        rows = type(verdict)(drafts, verdict.accept[which], residual[which])
        drawn = rows.sample(rng.random((n, self.k + 1)))
        return np.asarray(drawn.token), np.asarray(drawn.slot) < self.k
