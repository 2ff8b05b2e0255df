"""Every rule's output law is the target's, or the biased law that it declares, for all p and q.

Statement: averaged over the drafts of a scheme that the rule covers, the output law of the rule's
own verdict is `output_law`: the target for a lossless rule, the declared formula for a lossy one.

Assumptions: V = 3 tokens for k up to 2 and for the three of three distinct drafts; V = 2 for k = 3
drafts that may repeat, for drafts with a law each, and for the rules in `TWO_TOKENS`. All p and q,
zeros and ties included, so that fewer tokens are covered too. `ELSEWHERE` names the theorem of each
rule that is not run here: K-SEQ, whose slow-down is found by bisection, and those set up by
optimisation.

Machine-checked: the identity of rational functions in p and q on each region of the laws, on the
library's own code, found by running it; z3 proves that the regions are all there are. Thresholds
that depend on an entropy are replaced by a variable, so that the law holds for any threshold.

Argued: that tokens may be named by ascending p / q, or by descending q for greedy drafts, for rules
that treat all tokens alike; rules with groups or neighbourhoods of token ids go through all laws.
For larger sizes the conformance suite checks single laws.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import fields

import numpy as np

from proofs import Checked
from proofs._cover import Quantity
from proofs._laws import by_draft, by_ratio, drafts_of, for_all_laws
from spectheory.arrays import Array
from spectheory.drafting.scheme import scheme
from spectheory.verification.k_seq import KSeq
from spectheory.verification.rule import VerificationRule, rules
from spectheory.verification.typical import Typical

MOST_DRAFTS = 3
TWO_TOKENS = ("gumbel_list", "grouped_window", "lantern_plus_plus")
"""Rules whose laws over three tokens fall into too many regions, or of too high a degree."""
LEFT_OUT = (("gumbel_list", "heterogeneous"),)
"""Rule and scheme whose k = 2 takes as long as ten others, and whose k = 3 z3 does not settle; the
conformance suite checks it on Fractions."""
ELSEWHERE = {
    "k_seq": "k_seq_is_lossless",
    "optimal_iid": "optimal_score_kernel",
    "optimal_distinct": "mixtures_of_orders_are_lossless",
    "optimal_heterogeneous": "mixtures_of_orders_are_lossless",
    "optimal_without_replacement": "mixtures_of_orders_are_lossless",
}
"""The theorem of each rule that is set up by bisection or optimisation."""


def at_threshold(rule: Typical, threshold: Quantity) -> Typical:
    """The rule, or one derived from it, with a variable in place of its entropy threshold."""

    def of_any(_: Typical, target: Array) -> Array:
        return target * 0 + threshold

    open_ended: type[Typical] = type(type(rule).__name__, (type(rule),), {"_threshold": of_any})
    return open_ended(**{field.name: getattr(rule, field.name) for field in fields(rule)})


def cases(candidates: Iterable[VerificationRule]) -> Iterator[tuple[VerificationRule, str, int]]:
    """Rule, scheme and k of everything that is proved here."""
    for rule in candidates:
        if not rule.exact or rule.iterative or isinstance(rule, KSeq):
            continue  # in `ELSEWHERE`, whatever its key
        if rule.serves(rule.schemes[0], 1):  # one draft has the same law under every scheme
            yield rule, rule.schemes[0], 1
        for key, k in itertools.product(rule.schemes, range(2, MOST_DRAFTS + 1)):
            if rule.serves(key, k) and (rule.key, key) not in LEFT_OUT:
                yield rule, key, k


def tokens(rule: VerificationRule, key: str, k: int) -> int:
    """V of a case: 3, or 2 where three tokens are too many."""
    drafting = scheme(key)
    many = k > 2 and not drafting.distinct
    return 2 if rule.key in TWO_TOKENS or many or (k > 1 and drafting.per_slot) else 3


def prove(rule: VerificationRule, key: str, k: int) -> int:
    """Prove one case; how many regions the laws fall into."""
    per_slot = k if scheme(key).per_slot else 1
    if hasattr(rule, "groups") or hasattr(rule, "neighbours"):
        named = None
    else:
        named = by_draft if key == "greedy" else by_ratio

    def statement(*arguments: object) -> None:
        target, laws = arguments[0], arguments[1 : 1 + per_slot]
        draft = np.stack(laws) if scheme(key).per_slot else laws[0]
        if scheme(key).distinct and sum(mass > 0 for mass in draft) < k:
            return  # refused by the scheme: too few tokens to draw from
        using = at_threshold(rule, arguments[-1]) if isinstance(rule, Typical) else rule
        tuples, chance = drafts_of(scheme(key), draft, k)
        verdict = using._verdict(target[None], draft[None], tuples)
        law = np.sum(verdict.law() * chance[:, None], axis=0)
        wanted = using.output_law(target[None], draft[None], k, key)[0]
        for token, (found, declared) in enumerate(zip(law, wanted, strict=True)):
            assert found == declared, (
                f"{rule.key}, {key}, k = {k}: output law differs from the declared one "
                f"at token {token}"
            )

    free = ("t",) if isinstance(rule, Typical) else ()
    return for_all_laws(tokens(rule, key, k), statement, 1 + per_slot, free, named)


def verify(candidates: Iterable[VerificationRule] | None = None) -> Checked:
    """Check the statement for every rule of the library, or for those given."""
    todo = list(cases(candidates or rules().values()))
    assert todo, "no rule to check"
    regions = sum(prove(*case) for case in todo)
    names = {rule.key for rule, *_ in todo}
    sizes = f"k <= {MOST_DRAFTS}, V = 3 or 2"
    return Checked(
        f"{len(names)} rules, {len(todo)} cases of scheme and {sizes}: all p, q",
        f"{regions} regions run, z3: no other",
    )
