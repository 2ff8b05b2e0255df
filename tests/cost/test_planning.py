import numpy as np
import pytest

from spectheory.cost.latency import LatencyTable, measure_latency
from spectheory.cost.planner import best_plan, chains, sequences
from spectheory.cost.speedup import (
    PHASES,
    StepCost,
    acceptance_for,
    expected_tokens,
    speedup,
    split_gap,
    starts_along,
    tree_size,
)
from spectheory.errors import InputError


def test_expected_tokens_of_a_constant_acceptance_is_the_geometric_sum():
    for rate in (0.0, 0.3, 0.9):
        for length in range(6):
            geometric = (1 - rate ** (length + 1)) / (1 - rate)
            assert np.isclose(expected_tokens([rate] * length), geometric, rtol=1e-14)
    with pytest.raises(InputError, match="acceptance"):
        expected_tokens([1.2])


def test_steps_along_a_text_are_fewer_where_drafts_are_accepted():
    """Half of a text is copied for sure: over positions a step emits 4 tokens, in steps 1.75."""
    sure = np.repeat([1.0, 0.0], 70)
    starts = starts_along(sure, sure, np.full(140, 6))
    assert starts.sum() == 70 / 7 + 70
    assert set(starts.tolist()) == {0.0, 1.0}
    flat = np.full(400, 0.5)
    starts = starts_along(flat, flat, np.full(400, 2))
    # Renewals: the chance of a start tends to one over the mean jump; the last drafts are cut off.
    assert np.allclose(starts[50:], 1 / expected_tokens([0.5, 0.5]), rtol=1e-12)
    assert (starts_along(flat, flat, np.zeros(400, int)) == 1).all()


def test_steps_along_a_text_against_a_simulation():
    rng = np.random.default_rng(0)
    size, runs = 40, 20_000
    first, later = np.sort(rng.random((2, size)), axis=0)[::-1]
    levels = rng.integers(0, 4, size)
    expected = starts_along(first, later, levels)
    seen = np.zeros(size)
    for _ in range(runs):
        at = 0
        while at < size:
            seen[at] += 1
            left = min(int(levels[at]), size - 1 - at)
            accepted = 0
            while accepted < left and rng.random() < (later if accepted else first)[at + accepted]:
                accepted += 1
            at += accepted + 1
    # Hoeffding for each position and both sides: one is off by more with probability 1e-6.
    assert np.abs(seen / runs - expected).max() < np.sqrt(np.log(2e6 * size) / 2 / runs)


def test_steps_along_a_text_refuse_what_is_none():
    with pytest.raises(InputError, match="have 2, 2, 3 entries"):
        starts_along(np.ones(2), np.ones(2), np.ones(3, int))
    with pytest.raises(InputError, match=r"`later` holds 0.0 to 1.5"):
        starts_along(np.ones(2), np.array([0.0, 1.5]), np.ones(2, int))


def test_the_acceptance_that_a_ratio_takes():
    plain = StepCost(draft=0.0, verify=1.0)
    steps = [StepCost(draft=0.1 * n, verify=1 + 0.08 * n**1.5) for n in range(1, 7)]
    for ratio in (1.0, 1.3, 1.6, 2.5):
        acceptance, levels = acceptance_for(ratio, steps, plain)
        for n, step in enumerate(steps, 1):
            reached = speedup(expected_tokens([acceptance] * n), step, plain)
            assert reached <= ratio + 1e-12
            assert (n != levels) or reached == pytest.approx(ratio, rel=1e-12)
    assert acceptance_for(0.5, steps, plain) == (0.0, 1)
    assert acceptance_for(8, steps, plain) is None


def test_latencies_are_interpolated_and_not_extrapolated():
    table = LatencyTable((10, 20), (1, 3, 4), np.array([[1.0, 1.2, 2.0], [2.0, 2.2, 3.0]]))
    assert table(3, 10) == 1.2
    assert np.isclose(table(2, 15), 1.6)
    for tokens, context in [(5, 10), (1, 9), (0, 10)]:
        with pytest.raises(InputError, match="measured from"):
            table(tokens, context)
    with pytest.raises(InputError, match="ascending"):
        LatencyTable((10,), (2, 1), np.ones((1, 2)))
    with pytest.raises(InputError, match="shape"):
        LatencyTable((10,), (1,), np.ones((2, 2)))


def test_measuring_takes_every_point_in_every_round():
    prepared, seen, told = [], [], []
    table = measure_latency(
        lambda context: prepared.append(context) or context,
        lambda c, n: seen.append((c, n)),
        (0, 5),
        (1, 2),
        repeats=2,
        done=told.append,
    )
    assert prepared == [0, 5]
    assert seen == [(c, n) for _ in range(3) for c in (0, 5) for n in (1, 2)]
    assert told == [1, 2, 3, 4, 5, 6]
    assert table.seconds.shape == (2, 2)
    assert (table.seconds > 0).all()


def test_the_plan_follows_a_step_in_the_cost_curve():
    """Passes over up to three tokens cost the same, then twice as much: draft two, not three."""
    curve = LatencyTable((0,), tuple(range(1, 10)), np.array([[1.0] * 3 + [2.0] * 6]))

    def cost(tree):
        return StepCost(draft=0.02 * len(tree), verify=curve(1 + tree_size(tree), 0))

    def tokens(tree):
        return expected_tokens([0.6] * len(tree))

    plan = best_plan(chains(8), tokens, cost, cost(()))
    brute = max(chains(8), key=lambda t: speedup(tokens(t), cost(t), cost(())))
    assert plan.branching == brute == (1, 1)
    assert np.isclose(plan.ratio, 1.96 / 1.04)
    assert best_plan(chains(8), lambda _: 1.0, cost, cost(())).ratio < 1


def test_trees():
    assert sequences([1, 3], 2) == [(1,), (1, 1), (3,), (3, 1)]
    assert [tree_size(tree) for tree in ((), (1, 1, 1), (3, 1), (2, 3))] == [0, 3, 6, 8]


def test_a_gap_multiplies_up():
    rng = np.random.default_rng(1)
    for _ in range(20):
        predicted, measured, plain, slower = (StepCost(*rng.random(4)) for _ in range(4))
        tokens = tuple(1 + rng.random(2))
        gap = split_gap(tokens, (predicted, measured), (plain, slower))
        whole = speedup(tokens[1], measured, slower) / speedup(tokens[0], predicted, plain)
        assert np.isclose(gap.ratio, whole, rtol=1e-12)
        product = gap.tokens * gap.plain * np.prod([gap.phases[phase] for phase in PHASES])
        assert np.isclose(product, whole, rtol=1e-12)
        for phase in PHASES:
            less = getattr(measured, phase) < getattr(predicted, phase)
            assert (gap.phases[phase] > 1) == less
