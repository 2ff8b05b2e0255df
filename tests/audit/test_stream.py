"""The stream audit: fair bets, known strata, states that continue, what it says."""

import json

import numpy as np
import pytest
from scipy.stats import binom

from spectheory.audit.stream import StreamAudit
from spectheory.audit.stream_file import write_steps
from spectheory.audit.stream_run import audit_stream
from spectheory.audit.stream_scores import (
    FIXED,
    LEARNT,
    STRATA,
    LearntScores,
    fixed_scores,
    strata,
)
from spectheory.audit.stream_steps import Steps
from spectheory.errors import DistributionError, InputError, ShapeError
from spectheory.zoo.entry import entry


def steps_of(tokens, law, **more):
    """One token a step, each request once."""
    n = len(tokens)
    return Steps(
        np.arange(n),
        np.asarray(tokens)[:, None],
        np.ones(n, int),
        np.zeros(n, int),
        np.broadcast_to(law, (n, 1, len(law))),
        **more,
    )


def laws(n, size, seed):
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.full(size, 0.5), n), rng.dirichlet(np.full(size, 0.5), n)


def test_fixed_scores_have_mean_zero_whatever_the_context():
    """Exactly: each score summed over all tokens with the target's probabilities."""
    target, draft = laws(50, 7, 0)
    target[:, 2], draft[:, 3] = 0.0, 0.0  # tokens of mass 0 on either side
    target /= target.sum(axis=1, keepdims=True)
    before = np.random.default_rng(1).integers(-1, 7, 50)
    mean = np.zeros((50, len(FIXED)))
    for token in range(7):
        scores, speaks = fixed_scores(np.full(50, token), before, target, draft, np.ones(50, bool))
        assert (scores[~speaks] == 0).all()
        assert (np.abs(scores[target[:, token] > 0]) <= 1).all()
        mean += target[:, [token]] * scores
    assert np.abs(mean).max() < 1e-15


@pytest.mark.parametrize("name", LEARNT)
def test_learnt_scores_have_mean_zero_whatever_was_learnt(name):
    size = 7
    learnt = LearntScores(1, size)
    rng = np.random.default_rng(2)
    for table in (*learnt.excess.values(), *learnt.expected.values()):
        table += 100 * rng.random(table.shape)  # rubbish
    target, _ = laws(50, size, 3)
    before = rng.integers(-1, size, 50)
    mean = np.zeros(50)
    for token in range(size):
        cells = learnt.cells(np.full(50, token), before, target)
        scores = learnt.scores(0, name, *cells[name])
        assert np.abs(scores).max() <= 1
        mean += target[:, token] * scores
    assert np.abs(mean).max() < 1e-14


def test_cells_hold_the_target():
    target, _ = laws(20, 200, 4)  # more tokens than buckets
    tokens = np.arange(20) * 9
    learnt = LearntScores(1, 200)
    for name, (_, cell, law) in learnt.cells(tokens, tokens, target).items():
        assert np.abs(law.sum(axis=1) - 1).max() < 1e-12, name
        assert (cell >= 0).all()
        assert (cell < law.shape[1]).all()
    _, cell, law = learnt.cells(tokens, tokens, target)["token"]
    assert law[3, 5] == pytest.approx(target[3, 5::64].sum())
    assert (cell == tokens % 64).all()


def test_strata_by_hand():
    found = strata(
        row=np.array([0, 1, 3, 0]),
        drafted=np.array([3, 3, 3, 0]),
        after=np.array([1, 1, 2, 0]),
        batch=np.array([1, 4, 9, 8]),
    )
    named = [{STRATA[i] for i in np.flatnonzero(row)} for row in found]
    assert named[0] == {"all", "row 0", "step after a replacement", "batch of 1"}
    assert named[1] == {"all", "row 1", "step after a replacement", "batch of 2 to 7"}
    assert named[2] == {
        "all",
        "row 3 and later",
        "bonus token",
        "step after a bonus token",
        "batch of 8 or more",
    }
    assert named[3] == {"all", "row 0", "batch of 8 or more"}


def test_acceptance_of_the_token_itself_would_be_no_stratum():
    """Given that a token was accepted, its law is not the target's: such a bet would not be fair.

    Negative control of the strata: on a right loop the very score that is fair in all of them
    strays by more than 20 standard errors among accepted tokens.
    """
    scores = []
    for step in entry("bonus_from_draft").mend().decode(500, 20, seed=0):
        accepted = step.counts > 1
        chosen = step.tokens[accepted, 0]
        scores.append(
            fixed_scores(
                chosen,
                np.full(len(chosen), -1),
                step.target[accepted, 0],
                step.draft[accepted, 0],
                np.ones(len(chosen), bool),
            )[0][:, FIXED.index("draft_ratio")]
        )
    score = np.concatenate(scores)
    assert score.mean() > 20 * score.std() / np.sqrt(score.size)


def test_false_alarms_keep_to_the_rate():
    """100 right streams at alpha = 0.05, looked at after every token; the count is one that has
    probability above 1e-6 at that rate."""
    one = entry("position_keyed_block").mend()
    alarms = 0
    for seed in range(100):
        audit = StreamAudit(0.05)
        for steps in one.decode(60, 4, seed):
            audit.update(steps)
        alarms += audit.biased or audit.report().length_off
    assert alarms <= binom.ppf(1 - 1e-6, 100, 0.05)


def test_a_bias_in_one_stratum_is_named():
    """Right everywhere but in bonus tokens."""
    audit = StreamAudit(1e-6)
    for steps in entry("bonus_from_draft").decode(500, 20, seed=0):
        audit.update(steps)
    report = audit.report()
    assert report.biased
    assert report.tests[0][0].startswith(("bonus token", "row 3 and later"))
    assert "Biased" in str(report)


@pytest.mark.parametrize(("claimed", "off"), [(1.5, False), (1.6, True)])
def test_lengths_are_a_verdict_of_their_own(claimed, off):
    """A right law with 1.5 tokens a step: wrong only against another claim."""
    n, rng, law = 4_000, np.random.default_rng(0), np.array([0.6, 0.4])
    steps = Steps(
        np.arange(n),
        rng.choice(2, (n, 2), p=law),
        rng.integers(1, 3, n),
        np.ones(n, int),
        np.broadcast_to(law, (n, 2, 2)),
        expected=np.full(n, claimed),
    )
    audit = StreamAudit(1e-6)
    audit.update(steps)
    report = audit.report()
    assert not report.biased
    assert report.length_off == off
    assert "tokens a step: " in str(report)
    assert abs(report.length_excess - (1.5 - claimed)) < 0.04


def stopping(chance):
    """Law of ``(drafted, counts)`` of a drafter that stops after 0, 1 or 3 drafts, each accepted
    with this chance; and the mean of ``counts``."""
    law = {(0, 1): 0.2}
    for drafted, share in ((1, 0.5), (3, 0.3)):
        for kept in range(drafted + 1):
            last = 1.0 if kept == drafted else 1 - chance
            law[drafted, kept + 1] = share * chance**kept * last
    return law, sum(mass * counts for (_, counts), mass in law.items())


def lengths_of(outcomes, expected):
    """Steps of a certain token with these ``(drafted, counts)``."""
    drafted, counts = np.array(outcomes).T
    n = len(counts)
    ones = np.ones((n, 4, 1))
    tokens = np.zeros((n, 4), int)
    return Steps(np.arange(n), tokens, counts, drafted, ones, expected=np.full(n, expected))


def test_a_bet_on_lengths_is_fair_when_the_drafter_may_stop():
    """Enumerated: every bet's wealth after a step has mean 1 over all lengths of the step."""
    law, expected = stopping(0.9)
    wealth = 0.0
    for outcome, mass in law.items():
        audit = StreamAudit(1e-3, most_drafts=3)
        audit.update(lengths_of([outcome], expected))
        wealth = wealth + mass * np.exp(audit.length._log_wealth)
    np.testing.assert_allclose(wealth, 1.0, rtol=1e-12)


@pytest.mark.parametrize(("claimed", "off"), [(0.9, False), (0.8, True)])
def test_lengths_of_varying_drafts(claimed, off):
    """5,000 steps against the right mean (a false alarm has probability 1e-6) and a wrong one."""
    law, _ = stopping(0.9)
    chosen = np.random.default_rng(0).choice(len(law), 5_000, p=list(law.values()))
    audit = StreamAudit(1e-6)
    audit.update(lengths_of(np.array(list(law))[chosen], stopping(claimed)[1]))
    assert audit.report().length_off == off


def test_bounds_are_in_nats_of_the_tokens_that_speak():
    """All tokens are the second of two; every other one has a draft law. By hand."""
    law, draft = np.array([0.7, 0.3]), np.array([0.5, 0.5])
    n = 1_000
    steps = steps_of(np.ones(n, int), law, draft=np.broadcast_to(draft, (n, 1, 2)))
    audit = StreamAudit(1e-3)
    audit.update(steps._replace(drafted=np.arange(n) % 2))
    bounds = {one.direction: one for one in audit.report().bounds}
    surprise, lean = -np.log(law), np.log(draft / law)
    for name, score in (("surprise", surprise), ("draft_ratio", lean)):
        bound = bounds[f"all: {name}"]
        assert bound.unit == "nats"
        assert bound.seen == pytest.approx(abs(score[1] - law @ score))
        assert bound.seen < bound.upper < bound.seen + 0.6


def test_the_draft_ratio_is_silent_without_a_draft_and_where_it_is_the_target():
    law = np.array([0.7, 0.3])
    target = np.broadcast_to(law, (3, 2))
    draft = np.array([[0.5, 0.5], law, [0.5, 0.5]])
    drafted = np.array([True, True, False])
    _, speaks = fixed_scores(np.zeros(3, int), np.array([-1, 0, 0]), target, draft, drafted)
    named = {name: speaks[:, place].tolist() for place, name in enumerate(FIXED)}
    assert named == {
        "surprise": [True, True, True],
        "mode": [True, True, True],
        "repeat": [False, True, True],
        "draft_ratio": [True, False, False],
    }


def test_a_pass_says_what_it_could_have_missed():
    audit = StreamAudit(1e-3)
    law = np.array([0.6, 0.3, 0.1])
    audit.update(steps_of(np.random.default_rng(0).choice(3, 20_000, p=law), law))
    report = audit.report()
    assert not report.biased
    assert "can have been missed" in str(report)
    (bound,) = (one for one in report.bounds if one.direction == "all: mode")
    assert bound.seen < bound.upper < 0.03
    json.dumps(report.to_dict(), allow_nan=False)


def test_the_bounds_hold():
    """The mode is too frequent by 0.02 exactly; a bound below that would fail with rate 1e-3."""
    law, drawn = np.array([0.6, 0.3, 0.1]), np.array([0.62, 0.29, 0.09])
    for seed in range(20):
        audit = StreamAudit(1e-3)
        audit.update(steps_of(np.random.default_rng(seed).choice(3, 5_000, p=drawn), law))
        (bound,) = (one for one in audit.report().bounds if one.direction == "all: mode")
        assert bound.upper >= 0.02


def test_one_impossible_token_is_enough():
    audit = StreamAudit(1e-3)
    audit.update(steps_of([0, 2], np.array([0.5, 0.5, 0.0])))
    assert audit.biased
    assert audit.report().p_bound == 0


def test_order_of_requests_within_a_batch_is_kept():
    """Two steps of one request in one batch read like two batches."""
    law = np.array([0.5, 0.5])
    both = Steps(
        np.array([7, 7]),
        np.array([[0, 1], [1, 0]]),
        np.array([2, 1]),
        np.array([2, 2]),
        np.broadcast_to(law, (2, 2, 2)),
    )
    together, apart = StreamAudit(0.1), StreamAudit(0.1)
    together.update(both)
    for row in range(2):
        apart.update(both.rows(slice(row, row + 1)))
    assert together._counts.tolist() == apart._counts.tolist()
    assert together._counts[STRATA.index("step after a replacement"), 0] == 1
    assert (together._sums == apart._sums).all()


def test_states_continue_exactly():
    whole, half = StreamAudit(1e-3), StreamAudit(1e-3)
    for number, steps in enumerate(entry("position_keyed_block").decode(100, 20, seed=3)):
        whole.update(steps)
        half.update(steps)
        if number == 9:
            half = StreamAudit.from_state(json.loads(json.dumps(half.state())))
    assert whole.report() == half.report()


def test_a_file_is_audited_with_the_drafts_declared_for_it(tmp_path):
    path, state = tmp_path / "s.jsonl", tmp_path / "state"
    steps = [lengths_of([(3, 1), (3, 4)], 2.5)]
    write_steps(path, steps)
    (report,) = audit_stream(path, state=state, most_drafts=3)
    direct = StreamAudit(1e-3, 3)
    direct.update(steps[0])
    assert report.length_log_e_peak == direct.report().length_log_e_peak
    with pytest.raises(InputError, match="with `most_drafts` 3, not 16"):
        list(audit_stream(path, state=state))


def test_bad_steps_are_refused():
    law = np.array([0.5, 0.5])
    with pytest.raises(InputError, match="alpha"):
        StreamAudit(1.0)
    with pytest.raises(ShapeError, match="`tokens` holds 0 to 2"):
        StreamAudit(0.1).update(steps_of([0, 2], law))
    with pytest.raises(ShapeError, match="counts"):
        StreamAudit(0.1).update(steps_of([0, 1], law)._replace(counts=np.array([1, 2])))
    with pytest.raises(ShapeError, match="`draft` has shape"):
        StreamAudit(0.1).update(steps_of([0, 1], law, draft=np.zeros((2, 1, 3))))
    with pytest.raises(InputError, match="`most_drafts` is 0"):
        StreamAudit(0.1, 0)
    with pytest.raises(InputError, match=r"`drafted` is 3 .* `most_drafts` 2"):
        StreamAudit(0.1, 2).update(lengths_of([(1, 1), (3, 1)], 1.5))
    for wrong in (0.9, 4.1, np.nan):
        with pytest.raises(InputError, match=rf"`expected` holds {wrong}; .* at most 3 drafts"):
            StreamAudit(0.1, 3).update(lengths_of([(3, 1), (3, 2)], wrong))
    cut = np.array([0.5, 0.3, 0.0])
    for wrong, reason in ((np.log(law), "target"), (cut, "target"), (law * np.nan, "target")):
        with pytest.raises(DistributionError, match=reason):
            StreamAudit(0.1).update(steps_of([0, 1], wrong))
    with pytest.raises(DistributionError, match="draft"):
        StreamAudit(0.1).update(
            steps_of([0, 1], law, draft=np.zeros((2, 1, 2)))._replace(drafted=np.array([0, 1]))
        )
    audit = StreamAudit(0.1)
    audit.update(steps_of([0, 1], law))
    with pytest.raises(ShapeError, match="earlier steps over 2"):
        audit.update(steps_of([0, 1], np.array([0.5, 0.25, 0.25])))
