"""Upper bounds on the bias: valid by enumeration, and they cover biases that are known."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from sims.bench import synthetic
from spectheory.audit.battery import KnownTargetAudit
from spectheory.audit.biases import biased_law
from spectheory.audit.bounds import RATES, deviation
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
