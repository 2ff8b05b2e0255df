"""Upper bounds on the bias: valid by enumeration, and they cover biases that are known."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from sims.bench import synthetic
from spectheory.audit.battery import KnownTargetAudit
from spectheory.audit.biases import biased_law
from spectheory.audit.bounds import RATES, FixedScores, deviation, weighted_deviation
from spectheory.audit.context import Context
from spectheory.audit.sampler import categorical
from spectheory.distributions import total_variation

TARGET, DRAFT = synthetic(500, 1.0, 2)
CONTEXT = Context.of(TARGET, DRAFT)


@pytest.mark.parametrize("b", RATES)
def test_the_supermartingale_behind_the_bounds_is_one(b):
    """Any two-point law on [-1, 1], on a grid: no mean of the exponential above 1."""
    points = np.linspace(-1, 1, 21)
    worst = 0.0
    for low, high in itertools.combinations(points, 2):
        for share in np.linspace(0, 1, 11):
            y, mass = np.array([low, high]), np.array([1 - share, share])
            cost = (-math.log1p(-b) - b) * y**2
            worst = max(worst, float(mass @ np.exp(b * (y - mass @ y) - cost)))
    assert worst <= 1 + 1e-12


def test_deviation_is_the_union_over_rates():
    squares = 1234.5
    wanted = min(
        (math.log(2 * len(RATES) / 0.01) + (-math.log1p(-b) - b) * squares) / b for b in RATES
    )
    assert float(deviation(squares, 0.01)) == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("direction", "bound"),
    [("draft", "draft_ratio"), ("token", "single_token"), ("top", "single_token")],
)
def test_bounds_cover_a_known_bias_and_are_not_idle(direction, bound):
    """All bounds fail together with probability 1e-6 or less: 20 runs must all be covered."""
    bias = 0.02
    law = biased_law(TARGET, DRAFT, direction, bias)
    for seed in range(20):
        audit = KnownTargetAudit(500, 1e-6 / 20)
        uniforms = np.random.default_rng(seed).random(20_000)
        audit.update(categorical(law, uniforms), context=CONTEXT)
        bounds = {one.direction: one for one in audit.report().bounds}
        assert bias * (1 - 1e-9) <= bounds[bound].upper < 5 * bias
        assert bounds["rank_uniformity"].upper <= 0.2


def test_contexts_of_unlike_scale_add_up_in_total_variation():
    """One context leans by 0.3, one is right: what is bounded is the mean of the two biases.

    Three runs, each missed with probability 1e-6 at most.
    """
    coin = Context.of(np.array([0.5, 0.5]), np.array([0.45, 0.55]))
    true = 0.3 * float(total_variation(TARGET, DRAFT)) / 2
    for seed in range(3):
        rng, n = np.random.default_rng(seed), 50_000
        sums = FixedScores(["draft_ratio"])
        leaning = categorical(0.7 * TARGET + 0.3 * DRAFT, rng.random(n))
        for context, tokens in ((CONTEXT, leaning), (coin, rng.integers(0, 2, n))):
            sums.add({"draft_ratio": context.draft_ratio.score[tokens]}, context, speaks=False)
        bound = sums.bound("draft_ratio", 1e-6)
        assert true <= bound.upper < 1.5 * true
        # What is seen has mean `true` and a standard error of 0.001: 6 of them.
        assert abs(bound.seen - true) < 0.006


def test_opposite_biases_cancel_and_draws_of_no_bias_count():
    """Two coins of closed form: one leans by 0.2 to heads, one as much to tails, one cannot."""
    coins = [Context.of(np.array([0.5, 0.5]), np.array(law)) for law in ([0.4, 0.6], [0.5, 0.5])]
    heads, tails = np.repeat([0, 1], [3_000, 7_000]), np.repeat([0, 1], [7_000, 3_000])
    sums = FixedScores(["draft_ratio"])
    for coin, tokens, seen in ((0, heads, 0.2), (1, heads, 0.1), (0, tails, 0.2 / 3 - 0.2 / 3)):
        score = coins[coin].draft_ratio.score[tokens]
        sums.add({"draft_ratio": score}, coins[coin], speaks=False)
        assert sums.bound("draft_ratio", 1e-3).seen == pytest.approx(seen, abs=1e-12)


@pytest.mark.parametrize("weights", [(1.0, 0.1), (0.5, 3.0), (1.0, 40.0)])
def test_the_weighted_deviation_is_the_union_over_rates(weights):
    squares = np.array([50.0, 700.0])
    unit = weights[0]
    sums = FixedScores(["acceptance"])._sums["acceptance"]
    for weight, square in zip(weights, squares, strict=True):
        sums.add(np.sqrt([square / 1_000] * 1_000), weight)

    def at(b: float) -> float:
        rates = [b * weight / unit for weight in weights]
        cost = [(-math.log1p(-rate) - rate) * s for rate, s in zip(rates, squares, strict=True)]
        return (math.log(2 * len(RATES) / 0.01) + sum(cost)) / b

    wanted = min(at(b) for b in RATES if b * max(weights) / unit < 1)
    assert weighted_deviation(sums.costs, 0.01) == pytest.approx(wanted)


def test_rank_and_token_bounds_are_below_any_total_variation_they_claim_to_bound():
    """What is seen tends to the true change of bins and tokens, which no bound may undercut."""
    law = biased_law(TARGET, DRAFT, "random", 0.05)
    audit = KnownTargetAudit(500, 1e-6)
    audit.update(categorical(law, np.random.default_rng(0).random(200_000)), context=CONTEXT)
    bounds = {one.direction: one for one in audit.report().bounds}
    assert bounds["single_token"].upper >= np.abs(law - TARGET).max()
    assert bounds["rank_uniformity"].seen <= float(total_variation(TARGET, law)) + 0.02


def test_bounds_shrink_with_the_draws():
    audit = KnownTargetAudit(500, 1e-3)
    uppers = []
    for seed in range(2):
        for n in (1_000, 99_000):
            audit.update(
                categorical(TARGET, np.random.default_rng(seed).random(n)), context=CONTEXT
            )
            uppers.append({one.direction: one.upper for one in audit.report().bounds})
    for name, first in uppers[0].items():
        assert uppers[-1][name] < 0.25 * first
