"""The exact output law and acceptance of a rule, by going through every draft tuple."""

from __future__ import annotations

from typing import NamedTuple

from spectheory.arrays import Array, namespace
from spectheory.drafting.scheme import DraftScheme
from spectheory.verification.rule import VerificationRule


class Enumeration(NamedTuple):
    """What a rule does over the whole law of its drafts, at one position.

    Attributes:
        law: ``(V,)`` output law.
        acceptance: P(output is one of the drafts).
        ladder: P(the accept ladder fires).
        tuples: how many draft tuples were gone through.
    """

    law: Array
    acceptance: Array
    ladder: Array
    tuples: int


def enumerate_rule(
    rule: VerificationRule, scheme: DraftScheme, target: Array, draft: Array, k: int
) -> Enumeration:
    """Output law and acceptances of a rule under a draft scheme, exact on ``Fraction`` arrays.

    Args:
        target: ``(V,)``.
        draft: ``(V,)``, or ``(k, V)`` for a per-slot scheme.
        k: number of drafts.

    Raises:
        TooLarge: too many tuples to go through.
        InputError: see `VerificationRule.verdict`.

    >>> import numpy as np
    >>> from fractions import Fraction
    >>> from spectheory import rule, scheme
    >>> p, q = (np.array([Fraction(a, 10), Fraction(10 - a, 10)]) for a in (3, 6))
    >>> result = enumerate_rule(rule("recursive"), scheme("iid"), p, q, 2)
    >>> [str(x) for x in result.law], str(result.acceptance)
    (['3/10', '7/10'], '41/50')
    """
    drafts, probability = scheme.law(draft, k)
    verdict = rule.verdict(target[None, :], draft[None, ...], drafts)
    xp = namespace(target)
    return Enumeration(
        law=xp.sum(verdict.law() * probability[:, None], axis=0),
        acceptance=xp.sum(verdict.acceptance() * probability),
        ladder=xp.sum(verdict.ladder() * probability),
        tuples=drafts.shape[0],
    )
