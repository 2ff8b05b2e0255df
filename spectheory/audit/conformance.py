"""The conformance suite: what every rule and every draft scheme must satisfy.

A check is a function that raises `NotConforming`; the lists at the end are the whole suite. Exact
checks run on Fractions by enumeration; for a rule that is float64 only (``exact = False``) the
same enumeration runs in float64 and equality means 1e-12. The sampling checks state their rates:
a false alarm of `ALPHA` each, and the smallest bias seen by `smallest_bias`, about 2 % in total
variation at the sizes used; anything larger in a rule's formula is caught exactly, so they guard
the samplers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np

from spectheory.arrays import Array, on_host
from spectheory.audit.enumeration import enumerate_rule
from spectheory.audit.rule_sampler import RuleSampler
from spectheory.audit.sequential import audit_law
from spectheory.distributions import overlap
from spectheory.drafting.scheme import DraftScheme, exact_prefix_containment
from spectheory.transport.subset_dual import optimal_value
from spectheory.verification.rule import VerificationRule, rules

ALPHA = 1e-6
DRAWS = 40_000
FLOAT_TOLERANCE = 1e-12

# Target and draft weights: what breaks rules is zeros, ties, equality, disjointness, one-hot laws.
PAIRS = (
    ((1, 2, 3), (3, 2, 1)),
    ((3, 4, 3), (6, 3, 1)),
    ((5, 2, 2, 1), (1, 3, 3, 3)),
    ((1, 1, 1, 1), (1, 1, 1, 1)),  # p = q, all tied
    ((4, 3, 2, 1), (4, 3, 2, 1)),  # p = q
    ((0, 0, 5, 4), (3, 2, 0, 1)),  # zeros on either side
    ((1, 0, 0, 0), (1, 1, 1, 1)),  # one-hot target
    ((0, 0, 1, 2), (3, 1, 0, 0)),  # disjoint supports
    ((1, 2, 3, 4), (0, 0, 1, 0)),  # one-hot draft
    ((2, 2, 3, 3), (1, 1, 4, 4)),  # ties in the ratio
    ((9, 3, 1, 1, 1), (1, 8, 1, 3, 2)),
    ((1, 6, 2, 5, 2), (5, 1, 4, 1, 3)),  # residual over several tokens
)
SLOT_WEIGHTS = ((1, 3, 2, 4, 1), (2, 0, 1, 1, 5), (4, 1, 1, 2, 3))


class NotConforming(AssertionError):
    """A rule or scheme broke a check; the message says which and on what input."""


def law_of(weights: tuple[int, ...]) -> Array:
    """The law proportional to integer weights, as Fractions."""
    return np.array([Fraction(w, sum(weights)) for w in weights], dtype=object)


def cases(scheme: DraftScheme, k: int) -> Iterator[tuple[Array, Array]]:
    """Hand-picked exact ``(target, draft)`` pairs on which the scheme can draw k drafts."""
    for target, draft in PAIRS:
        size = len(target)
        if scheme.per_slot:
            slots = [draft, *(w[:size] for w in SLOT_WEIGHTS)][:k]
            yield law_of(target), np.stack([law_of(w) for w in slots])
        elif not scheme.distinct or k <= sum(w > 0 for w in draft):
            yield law_of(target), law_of(draft)


def draft_counts(rule: VerificationRule, scheme: DraftScheme) -> list[int]:
    """The k up to 3 that the rule's claim covers under the scheme."""
    return [k for k in (1, 2, 3) if rule.serves(scheme.key, k)]


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise NotConforming(message)


def _as_float(array: Array) -> np.ndarray:
    return np.asarray(array, dtype=np.float64)


def _laws(
    rule: VerificationRule, scheme: DraftScheme, k: int
) -> Iterator[tuple[Array, Array, str]]:
    """The cases in the arithmetic of the rule, each with words for a message."""
    for target, draft in cases(scheme, k):
        where = f"{rule.key}, {scheme.key}, k = {k}, target {target}, draft {draft}"
        if rule.exact:
            yield target, draft, where
        else:
            yield _as_float(target), _as_float(draft), where


def _rounding(rule: VerificationRule) -> float:
    """What equality allows: nothing on Fractions."""
    return 0 if rule.exact else FLOAT_TOLERANCE  # an int keeps Fractions exact


def _equal(rule: VerificationRule, found: Array, wanted: Array) -> bool:
    """Equality over arrays or numbers, exact where the rule is."""
    pairs = zip(np.ravel(found), np.ravel(wanted), strict=True)
    return all(abs(a - b) <= _rounding(rule) for a, b in pairs)


# -- rules ---------------------------------------------------------------------------------------


def verdict_is_a_law(rule: VerificationRule, scheme: DraftScheme) -> None:
    """Accept probabilities in [0, 1], residual a law, output law of total mass exactly 1."""
    slack = _rounding(rule)
    for k in draft_counts(rule, scheme):
        for target, draft, where in _laws(rule, scheme, k):
            verdict = rule.verdict(target[None], draft[None], scheme.law(draft, k).tuples)
            in_range = all(-slack <= a <= 1 + slack for a in verdict.accept.flat)
            _require(in_range, f"accept probability outside [0, 1]: {where}")
            one = np.sum(verdict.residual, axis=-1)
            proper = all(x >= 0 for x in verdict.residual.flat) and _equal(rule, one, one * 0 + 1)
            _require(proper, f"residual is not a probability law: {where}")
            one = np.sum(verdict.law(), axis=-1)
            _require(_equal(rule, one, one * 0 + 1), f"output law does not sum to 1: {where}")


def output_law_is_exact(rule: VerificationRule, scheme: DraftScheme) -> None:
    """Output law equal to the target, or to the declared biased law, on Fractions."""
    for k in draft_counts(rule, scheme):
        for target, draft in cases(scheme, k):
            check_output_law(rule, scheme, target, draft, k)


def check_output_law(
    rule: VerificationRule, scheme: DraftScheme, target: Array, draft: Array, k: int
) -> None:
    """One instance of `output_law_is_exact`, for laws from elsewhere."""
    if not rule.exact:
        target, draft = _as_float(target), _as_float(draft)
    law = enumerate_rule(rule, scheme, target, draft, k).law
    wanted = rule.output_law(target[None], draft[None], k, scheme.key)[0]
    _require(
        _equal(rule, law, wanted),
        f"output law {_as_float(law)} is not {_as_float(wanted)}: {rule.key}, {scheme.key}, "
        f"k = {k}, target {target}, draft {draft}",
    )


def acceptance_is_bounded(rule: VerificationRule, scheme: DraftScheme) -> None:
    """Ladder <= acceptance <= optimum (if lossless), and 1 - TV at k = 1 where claimed."""
    slack = _rounding(rule)
    for k in draft_counts(rule, scheme):
        for target, draft, where in _laws(rule, scheme, k):
            result = enumerate_rule(rule, scheme, target, draft, k)
            ordered = result.ladder <= result.acceptance + slack
            _require(ordered, f"ladder above acceptance: {where}")
            if rule.lossless:
                best = optimal_value(target, draft, k, scheme.key)
                _require(result.acceptance <= best + slack, f"above the optimum: {where}")
            if k == 1 and rule.maximal_at_one:
                first = draft[0] if scheme.per_slot else draft
                maximal = _equal(rule, result.acceptance, overlap(target, first))
                _require(maximal, f"acceptance is not 1 - TV with one draft: {where}")


def closed_form_is_right(rule: VerificationRule, scheme: DraftScheme) -> None:
    """Closed-form acceptances equal to enumeration: exactly on Fractions, to 1e-12 on float64."""
    for k in draft_counts(rule, scheme):
        for target, draft, where in _laws(rule, scheme, k):
            result = enumerate_rule(rule, scheme, target, draft, k)
            wanted = (result.acceptance, result.ladder)
            exact = rule.rates(target, draft, k, scheme.key)
            _require(exact is None or _equal(rule, exact, wanted), f"closed form is off: {where}")
            approximate = rule.rates(_as_float(target), _as_float(draft), k, scheme.key)
            if approximate is not None:
                error = np.abs(_as_float(approximate) - _as_float(wanted)).max()
                _require(error <= FLOAT_TOLERANCE, f"closed form off by {error:.1e}: {where}")


def declared_dominance_holds(rule: VerificationRule, scheme: DraftScheme) -> None:
    """Acceptance at least that of each rule in ``dominates``."""
    for other in (rules()[key] for key in rule.dominates):
        for k in draft_counts(rule, scheme):
            if not other.serves(scheme.key, k):
                continue
            for target, draft, where in _laws(rule, scheme, k):
                mine = enumerate_rule(rule, scheme, target, draft, k).acceptance
                theirs = enumerate_rule(other, scheme, target, draft, k).acceptance
                _require(
                    mine >= theirs - _rounding(rule),
                    f"accepts {mine}, but {other.key} {theirs}: {where}",
                )


def samples_follow_the_law(rule: VerificationRule, scheme: DraftScheme) -> None:
    """Drafts and outputs drawn on a float64 tape pass the sequential audit at rate `ALPHA`."""
    for k in draft_counts(rule, scheme):
        for target, draft in list(cases(scheme, k))[-2:]:
            p, q = _as_float(target), _as_float(draft)
            tokens, _ = RuleSampler(rule, scheme, k)(p, q, DRAWS, 2026 + k)
            wanted = _as_float(rule.output_law(target[None], draft[None], k, scheme.key)[0])
            evidence = audit_law(tokens, wanted, ALPHA)
            where = f"{rule.key}, {scheme.key}, k = {k}, target {target}, draft {draft}"
            _require(not evidence.biased, f"samples are biased: {where}: {evidence}")


def backends_agree(
    rule: VerificationRule, scheme: DraftScheme, convert: Callable[[np.ndarray], Array]
) -> None:
    """Another array library gives the law of the Fractions to 1e-12, and the same tokens.

    Tokens are compared on one tape wherever every uniform is further than 1e-9 from the threshold
    it is compared with; at least 99 % of the draws must be comparable.

    Args:
        rule: the rule under test.
        scheme: a scheme it covers.
        convert: makes the library's array from a NumPy one (float64 or int64).
    """
    rng = np.random.default_rng(7)
    for k in draft_counts(rule, scheme):
        for target, draft in cases(scheme, k):
            tuples = scheme.law(draft, k).tuples
            p, q = _as_float(target)[None], _as_float(draft)[None]
            here = rule.verdict(p, q, tuples)
            source = rule.verdict(target[None], draft[None], tuples) if rule.exact else here
            exact = _as_float(source.law())
            there = rule.verdict(convert(p), convert(q), convert(tuples))
            where = f"{rule.key}, {scheme.key}, k = {k}, target {target}, draft {draft}"
            for verdict in (here, there):
                error = np.abs(on_host(verdict.law()) - exact).max()
                _require(error <= FLOAT_TOLERANCE, f"law off by {error:.1e}: {where}")
            tape = rng.random((len(tuples), k + 1))
            clear = _margin(here, tape) > 1e-9
            _require(clear.mean() >= 0.99, f"too few draws comparable: {where}")
            mine, theirs = here.sample(tape), there.sample(convert(tape))
            same = (mine.token == on_host(theirs.token)) & (mine.slot == on_host(theirs.slot))
            _require(bool(np.all(same[clear])), f"tokens differ on one tape: {where}")


def _margin(verdict: object, tape: np.ndarray) -> np.ndarray:
    """Distance of each row's uniforms from the nearest threshold they are compared with."""
    accept, residual = verdict.accept, verdict.residual  # type: ignore[attr-defined]
    ladder = np.abs(tape[:, :-1] - accept).min(axis=-1)
    steps = np.abs(tape[:, -1:] - np.cumsum(residual, axis=-1)[..., :-1]).min(axis=-1)
    return np.minimum(ladder, steps)


# -- schemes -------------------------------------------------------------------------------------


def scheme_law_is_a_law(scheme: DraftScheme) -> None:
    """Tuple probabilities positive, distinct where declared, of total mass exactly 1."""
    for k in (1, 2, 3):
        for _, draft in cases(scheme, k):
            tuples, probability = scheme.law(draft, k)
            where = f"{scheme.key}, k = {k}, draft {draft}"
            _require(
                all(x > 0 for x in probability), f"a tuple of probability 0 is listed: {where}"
            )
            _require(sum(probability) == 1, f"tuple law does not sum to 1: {where}")
            if scheme.distinct:
                different = all(len(set(row)) == k for row in tuples.tolist())
                _require(different, f"a draft is repeated: {where}")


def scheme_samples_follow_its_law(scheme: DraftScheme) -> None:
    """Tuples drawn on a tape pass the sequential audit against the tuple law at rate `ALPHA`."""
    for k in (1, 2, 3):
        for index, (_, draft) in enumerate(cases(scheme, k)):
            tuples, probability = scheme.law(draft, k)
            rng = np.random.default_rng([k, index])
            tape = rng.random((DRAWS, scheme.tape_length(k)))
            drawn = scheme.sample(_as_float(draft)[None], k, tape)
            size = draft.shape[-1]
            weights = size ** np.arange(k)
            place = np.zeros(size**k, dtype=np.int64) + len(tuples)
            place[tuples @ weights] = np.arange(len(tuples))
            law = np.append(_as_float(probability), 0.0)  # the last cell takes impossible tuples
            evidence = audit_law(place[drawn @ weights], law / law.sum(), ALPHA)
            _require(not evidence.biased, f"{scheme.key}, k = {k}, draft {draft}: {evidence}")


def scheme_coverage_is_right(scheme: DraftScheme) -> None:
    """Inclusion probabilities and prefix containments equal to enumeration."""
    for k in (1, 2, 3):
        for target, draft in cases(scheme, k):
            tuples, probability = scheme.law(draft, k)
            where = f"{scheme.key}, k = {k}, draft {draft}"
            inclusion = scheme.inclusion(draft, k)
            if inclusion is not None:
                counted = [
                    sum(
                        (m for row, m in zip(tuples, probability, strict=True) if x in row),
                        Fraction(0),
                    )
                    for x in range(target.size)
                ]
                _require(list(inclusion) == counted, f"inclusion differs from enumeration: {where}")
            order = scheme.prefix_order(target, draft, k)
            counted = exact_prefix_containment(scheme, draft, k, order)
            formula = scheme.prefix_containment(draft, k, order)
            _require(list(formula) == list(counted), f"prefix containment is off: {where}")
            rounded = scheme.prefix_containment(_as_float(draft), k, order)
            error = np.abs(rounded - _as_float(counted)).max()
            _require(error <= FLOAT_TOLERANCE, f"prefix containment off by {error:.1e}: {where}")


def prefix_optimum_is_the_optimum(scheme: DraftScheme) -> None:
    """The sorted-prefix dual equal to the minimum over all 2^V subsets, where it is claimed."""
    for k in (1, 2, 3):
        for target, draft in cases(scheme, k):
            tuples, probability = scheme.law(draft, k)
            members = [sum(1 << int(x) for x in set(row)) for row in tuples.tolist()]
            least = min(
                sum((target[x] for x in range(target.size) if subset >> x & 1), Fraction(0))
                - sum(
                    (m for row, m in zip(members, probability, strict=True) if row & ~subset == 0),
                    Fraction(0),
                )
                for subset in range(1 << target.size)
            )
            value = optimal_value(target, draft, k, scheme.key)
            where = f"{scheme.key}, k = {k}, target {target}, draft {draft}: {value}, {1 + least}"
            _require(value >= 1 + least, f"below the optimum: {where}")
            if scheme.prefix_exact:
                _require(value == 1 + least, f"prefix value is not the optimum: {where}")


RULE_CHECKS: tuple[Callable[[VerificationRule, DraftScheme], None], ...] = (
    verdict_is_a_law,
    output_law_is_exact,
    acceptance_is_bounded,
    closed_form_is_right,
    declared_dominance_holds,
    samples_follow_the_law,
)
SCHEME_CHECKS: tuple[Callable[[DraftScheme], None], ...] = (
    scheme_law_is_a_law,
    scheme_samples_follow_its_law,
    scheme_coverage_is_right,
    prefix_optimum_is_the_optimum,
)
