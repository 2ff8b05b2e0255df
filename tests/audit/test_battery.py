"""The known-target audit: fair by enumeration, sees each bias, and says what it cannot exclude."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.stats import binom

from sims.bench import synthetic
from spectheory.audit import battery as module
from spectheory.audit.battery import TESTS, KnownTargetAudit
from spectheory.audit.biases import DIRECTIONS, biased_law
from spectheory.audit.context import Context
from spectheory.audit.learned import LEARNED, Tallies
from spectheory.audit.power import plan_audit
from spectheory.audit.sampler import categorical, rejection_sampler
from spectheory.errors import InputError, ShapeError

TARGET, DRAFT = synthetic(1_000, 1.0, 0)
CONTEXT = Context.of(TARGET, DRAFT)
SMALL = [
    Context.of(np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5])),
    Context.of(np.array([0.1, 0.0, 0.9]), np.array([0.2, 0.5, 0.3])),
]


def test_the_mean_wealth_is_fair_over_all_draws(monkeypatch):
    """All sequences of (token, accepted) over five draws in two contexts, learning after each."""
    monkeypatch.setattr(module, "FIRST", 1)
    order = [0, 1, 1, 0, 0]
    expected = dict.fromkeys([*TESTS, "mean"], 0.0)
    total = 0.0
    laws = []
    for context in SMALL:
        both = np.minimum(context.target, context.draft)
        laws.append({(x, a): m for a, law in ((1, both), (0, context.target - both))
                     for x, m in enumerate(law) if m > 1e-15})  # fmt: skip
    for sequence in itertools.product(*(laws[i] for i in order)):
        audit = KnownTargetAudit(3, 0.01)
        mass = 1.0
        for at, (token, accepted) in zip(order, sequence, strict=True):
            audit.update(np.array([token]), np.array([accepted]), context=SMALL[at])
            mass *= laws[at][token, accepted]
        total += mass
        for name, log_e in zip(TESTS, audit.martingale.log_e, strict=True):
            expected[name] += mass * math.exp(log_e)
        expected["mean"] += mass * math.exp(audit.martingale.log_mean)
    assert total == pytest.approx(1.0, abs=1e-12)
    assert expected == pytest.approx(dict.fromkeys(expected, 1.0), abs=1e-11)


@pytest.mark.parametrize("test", LEARNED)
def test_learnt_scores_are_centred_and_bounded_in_another_context(test):
    rng = np.random.default_rng(3)
    tallies = Tallies(1_000)
    tallies.add(np.bincount(categorical(DRAFT, rng.random(5_000)), minlength=1_000), CONTEXT)
    other = Context.of(rng.permutation(TARGET))
    for context in (CONTEXT, other):
        score = LEARNED[test](tallies, context)
        assert np.abs(score).max() == pytest.approx(1.0)
        assert abs((context.target * score).sum()) < 1e-12


def test_collisions_bet_on_the_excess_itself():
    tallies = Tallies(3)
    tallies.add(np.array([60.0, 20, 20]), SMALL[0])
    score = LEARNED["collisions"](tallies, SMALL[0])
    centred = np.array([10.0, -10, 0]) - (0.5 * 10 - 0.3 * 10)
    np.testing.assert_allclose(score, centred / np.abs(centred).max(), atol=1e-12)


def test_false_alarms_of_the_whole_battery():
    """150 runs at 0.05, 2,000 draws each; the count itself is off by chance once in 1e6."""
    alarms, runs, alpha = 0, 150, 0.05
    context = Context.of(np.array([0.4, 0.3, 0.2, 0.1, 0.0]), np.array([0.1, 0.1, 0.4, 0.2, 0.2]))
    for seed in range(runs):
        audit = KnownTargetAudit(5, alpha)
        audit.update(
            *rejection_sampler(context.target, context.draft, 2_000, seed), context=context
        )
        alarms += audit.biased
    assert alarms <= binom.ppf(1 - 1e-6, runs, alpha)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_each_bias_is_seen_within_twice_the_planned_draws_and_not_by_chance(direction):
    """Planned for power 0.95; twice the draws leave far less than 1e-6 for a miss."""
    bias = 0.03
    plan = plan_audit(bias, 1e-6, 0.95, TARGET, DRAFT, direction)
    law = biased_law(TARGET, DRAFT, direction, bias)
    draws = int(2 * plan.needed)
    for sampled, seen in ((law, True), (TARGET, False)):
        audit = KnownTargetAudit(1_000, 1e-6, TESTS[:-1])
        tokens = categorical(sampled, np.random.default_rng(5).random(draws))
        audit.update(tokens, context=CONTEXT)
        assert audit.biased == seen, (direction, draws, audit.report())


@pytest.mark.parametrize("direction", ["draft", "temperature", "top"])
def test_the_plan_is_near_what_is_measured(direction):
    """Power 0.8: 20 audits of the planned draws find 8 or more (a chance of 1e-6 otherwise)."""
    plan = plan_audit(0.03, 1e-3, 0.8, TARGET, DRAFT, direction)
    law = biased_law(TARGET, DRAFT, direction, 0.03)
    seen = {1.0: 0, 0.2: 0}
    for share in seen:
        for seed in range(20):
            audit = KnownTargetAudit(1_000, 1e-3, TESTS[:-1])
            uniforms = np.random.default_rng(seed).random(int(share * plan.needed))
            audit.update(categorical(law, uniforms), context=CONTEXT)
            seen[share] += audit.biased
    assert seen[1.0] >= 8
    assert seen[0.2] <= 8  # nor are the planned draws far too many


def test_acceptance_is_tested_beside_the_tokens():
    """The tokens are the target's, but drafts are accepted one time in fifty less often."""
    tokens, accepted = rejection_sampler(TARGET, DRAFT, 60_000, 0)
    dropped = accepted & (np.random.default_rng(1).random(60_000) < 0.98)
    audit = KnownTargetAudit(1_000, 1e-6)
    audit.update(tokens, dropped, context=CONTEXT)
    report = audit.report()
    assert report.biased
    assert report.only_acceptance
    assert str(report).startswith("Acceptance is not as stated")
    told = Context.of(TARGET, DRAFT, 0.98 * CONTEXT.acceptance)
    audit = KnownTargetAudit(1_000, 1e-6)
    audit.update(tokens, dropped, context=told)
    assert not audit.report().biased


def test_contexts_may_change_with_every_draw():
    rng = np.random.default_rng(4)
    pairs = rng.dirichlet(np.full(6, 0.5), (40, 2))
    contexts = [Context.of(p, q) for p, q in pairs]
    right, wrong = KnownTargetAudit(6, 1e-6), KnownTargetAudit(6, 1e-6)
    for i in range(1_500):
        context = contexts[i % 40]
        right.update(*rejection_sampler(context.target, context.draft, 1, i), context=context)
        leaning = 0.8 * context.target + 0.2 * context.draft
        wrong.update(categorical(leaning, rng.random(1)), context=context)
    assert not right.report().biased
    assert wrong.report().biased


def test_a_context_that_shares_no_token_with_those_before_it():
    contexts = [Context.of(np.array([0.5, 0.5, 0, 0])), Context.of(np.array([0, 0, 0.5, 0.5]))]
    rng = np.random.default_rng(0)
    audit = KnownTargetAudit(4, 1e-6)
    for turn in range(4):
        audit.update(2 * (turn % 2) + rng.integers(0, 2, 500), context=contexts[turn % 2])
    assert not audit.report().biased
    audit.update(np.full(1_000, 2), context=contexts[1])
    assert audit.report().biased


def test_a_token_the_target_excludes_settles_it():
    audit = KnownTargetAudit(3, 1e-6)
    audit.update(np.array([0, 2, 1]), context=SMALL[1])
    report = audit.report()
    assert report.impossible == 1
    assert report.biased
    assert report.p_bound == 0
    assert not report.only_acceptance
    assert "probability 0" in str(report)


def test_pieces_and_states_change_nothing():
    tokens, accepted = rejection_sampler(TARGET, DRAFT, 20_000, 7)
    whole, pieces = KnownTargetAudit(1_000, 1e-3), KnownTargetAudit(1_000, 1e-3)
    whole.update(tokens, accepted, context=CONTEXT)
    for part in np.split(np.arange(20_000), [1, 5_000, 5_001, 17_777]):
        pieces.update(tokens[part], accepted[part], context=CONTEXT)
        pieces = KnownTargetAudit.from_state(pieces.state())
    one, other = whole.report(), pieces.report()
    for a, b in zip(one.tests, other.tests, strict=True):
        assert a.log_e == pytest.approx(b.log_e, abs=1e-9)
    for a, b in zip(one.bounds, other.bounds, strict=True):
        assert a.upper == pytest.approx(b.upper, rel=1e-9)
    np.testing.assert_allclose(one.trace, other.trace, atol=1e-9)


def test_memory_does_not_grow_with_the_draws():
    audit = KnownTargetAudit(1_000, 1e-3)
    sizes = []
    for seed in range(8):
        audit.update(*rejection_sampler(TARGET, DRAFT, 50_000, seed), context=CONTEXT)
        sizes.append(sum(array.nbytes for array in audit.state().values()))
    assert sizes[-1] < 1.2 * sizes[1]


def test_a_report_never_claims_proof_and_names_what_it_could_have_missed():
    audit = KnownTargetAudit(1_000, 1e-3)
    audit.update(*rejection_sampler(TARGET, DRAFT, 50_000, 0), context=CONTEXT)
    text = str(audit.report())
    assert text.startswith("No evidence of bias in 50,000 draws")
    assert "can have been missed" in text
    assert "at most" in text
    for word in ("proof", "proven", "prove", "lossless", "certif"):
        assert word not in text.lower()


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: KnownTargetAudit(3, 0.0), InputError, "alpha"),
        (lambda: KnownTargetAudit(3, 0.1, ["chi"]), InputError, "chi"),
        (lambda: KnownTargetAudit(4, 0.1).update([0], context=SMALL[0]), ShapeError, "context"),
        (lambda: KnownTargetAudit(3, 0.1).update([[0]], context=SMALL[0]), ShapeError, "tokens"),
        (lambda: KnownTargetAudit(3, 0.1).update([3], context=SMALL[0]), InputError, "tokens"),
        (lambda: KnownTargetAudit(3, 0.1).update([0.5], context=SMALL[0]), InputError, "float64"),
        (lambda: Context.of(TARGET, acceptance=1.5), InputError, "acceptance"),
        (lambda: Context.of(TARGET[None]), ShapeError, "one position"),
        (lambda: plan_audit(0.01, 2, 0.5, TARGET), InputError, "alpha"),
        (lambda: plan_audit(0.01, 0.1, 0.5, TARGET), InputError, "needs `draft`"),
        (lambda: plan_audit(0.9, 0.1, 0.5, TARGET, DRAFT, "draft"), InputError, "ask for less"),
        (lambda: plan_audit(0.1, 0.1, 0.5, TARGET, DRAFT, "up"), InputError, "no direction"),
    ],
)
def test_bad_input_is_refused(call, error, words):
    with pytest.raises(error, match=words):
        call()
