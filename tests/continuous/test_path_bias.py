"""Bias formulas against quadrature, and the rules' measured bias against the formulas.

Every statistical test has a false-alarm rate of at most 1e-6.
"""

import numpy as np
import pytest
from scipy.stats import norm

from spectheory.audit.continuous import audit_cdf
from spectheory.continuous.path_bias import factor_bias, factor_law, tempered_bias
from spectheory.continuous.path_chain import LinearChain
from spectheory.continuous.path_published import CSpDPublished
from spectheory.errors import InputError

GAPS = (0.3, 1.0, 2.5)
FACTORS = (0.3, 0.7, 1.5, 4.0, 50.0)


def density(x):
    return np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)


def on_the_line(function, gap):
    """Integral over the real line by the midpoint rule; a kink costs no more than h^2 = 3e-9."""
    edges = np.linspace(-12, gap + 12, 500_001)
    x = (edges[1:] + edges[:-1]) / 2
    return float(function(x).sum() * (edges[1] - edges[0]))


@pytest.mark.parametrize("gap", GAPS)
@pytest.mark.parametrize("factor", FACTORS)
def test_factor_bias_by_quadrature(gap, factor):
    def kept(x):
        return np.minimum(density(x), factor * density(x - gap))

    def left(x):
        return np.maximum(0.0, factor * density(x - gap) - density(x))

    beta, mass = on_the_line(kept, gap), on_the_line(left, gap)

    def output(x):
        return kept(x) + (1 - beta) * left(x) / mass

    bias = on_the_line(lambda x: np.abs(output(x) - density(x - gap)) / 2, gap)
    found = factor_bias(gap, factor)
    assert found.acceptance == pytest.approx(beta, abs=1e-8)
    assert found.residual_mass == pytest.approx(mass, abs=1e-8 * factor)
    assert found.bias == pytest.approx(bias, abs=1e-7)
    assert found.bias > 0
    for cut in (-1.0, gap / 2 - np.log(factor) / gap, gap + 0.5):
        below = on_the_line(lambda x, cut=cut: output(x) * (x <= cut), gap)
        assert factor_law(np.array(cut), gap, factor) == pytest.approx(below, abs=5e-5)


def fixed_factor_pair(gap, factor):
    """Chains whose x_0 does not depend on x_1, so that f and both laws are the same every time."""
    target = LinearChain(np.zeros(2), np.array([gap, 0.0]), np.ones(2))
    return target, LinearChain(np.zeros(2), np.zeros(2), np.array([1.0, factor]))


@pytest.mark.parametrize(("gap", "factor"), [(1.0, 0.7), (1.0, 1.5), (0.3, 4.0), (2.5, 50.0)])
def test_published_rule_has_the_law_of_the_formula(gap, factor):
    n = 400_000
    drawn = CSpDPublished().draw(*fixed_factor_pair(gap, factor), n, np.random.default_rng(0))
    x, predicted = drawn.sample[:, 0], factor_bias(gap, factor)
    assert not audit_cdf(x, lambda x: factor_law(x, gap, factor)).biased
    assert audit_cdf(x, norm(gap).cdf).biased
    error = 5 * np.sqrt(predicted.acceptance * (1 - predicted.acceptance) / n)
    assert abs(drawn.accepted.mean() - predicted.acceptance) <= error
    # Total variation is reached on one set, {output > p} or its complement; measure it there.
    grid = np.linspace(-8, gap + 8, 200_001)
    excess = np.diff(factor_law(grid, gap, factor)) - np.diff(norm.cdf(grid, gap))
    counts, _ = np.histogram(x, grid)
    heavy = excess > 0
    measured = counts[heavy].sum() / n - np.diff(norm.cdf(grid, gap))[heavy].sum()
    assert abs(measured - predicted.bias) <= 5 * np.sqrt(0.25 / n) + 1e-4


@pytest.mark.parametrize("gap", GAPS)
@pytest.mark.parametrize("temperature", [1.0, 1.5, 2.0, 42.0])
def test_tempered_bias_by_quadrature(gap, temperature):
    def kept(x):
        log_ratio = gap * x - gap**2 / 2
        return density(x) * np.exp(np.minimum(0.0, log_ratio) / temperature**2)

    found = tempered_bias(gap, temperature)
    assert found.acceptance == pytest.approx(on_the_line(kept, gap), abs=1e-8)
    bias = on_the_line(lambda x: np.maximum(0.0, kept(x) - density(x - gap)), gap)
    assert found.least_bias == pytest.approx(bias, abs=1e-8)


def test_temperature_42_takes_the_draft_for_the_target():
    found, distance = tempered_bias(1.0, 42.0), 1 - 2 * norm.cdf(-0.5)
    assert found.acceptance > 0.9995
    assert distance - 5e-4 < found.least_bias <= distance


def test_no_bias_without_a_factor_and_none_that_can_be_told_with_an_empty_residual():
    assert factor_bias(2.0, 1.0).bias == 0
    assert factor_bias(0.0, 3.0) == (1.0, 2.0, 0.0)
    assert np.isnan(factor_bias(0.0, 0.5).bias)


@pytest.mark.parametrize(
    ("gap", "factor", "bias"),
    [(0.3, 0.1, 0.9), (0.08, 0.5, 0.5), (0.05, 0.5, 0.5), (1e-3, 0.2, 0.8), (1e-9, 0.5, 0.5)],
)
def test_rejections_that_hardly_ever_come_all_go_far_out(gap, factor, bias):
    """Nearly all that is lost, a share 1 - f of the mass, is put behind a cut far out."""
    found = factor_bias(gap, factor)
    assert found.bias == pytest.approx(bias, rel=1e-4)
    assert 0 <= found.residual_mass < 1e-6
    ends = factor_law(np.array([-60.0, 0.0, 1e12]), gap, factor)
    np.testing.assert_allclose(ends, [0, factor * norm.cdf(-gap), 1], atol=1e-9)


def test_law_of_one_density():
    x = np.array([-1.0, 0.5])
    np.testing.assert_allclose(factor_law(x, 0.0, 2.0), norm.cdf(x))
    assert np.isnan(factor_law(x, 0.0, 0.5)).all()


@pytest.mark.parametrize(("gap", "factor"), [(-1.0, 1.0), (1.0, 0.0), (1.0, np.inf), (np.nan, 1.0)])
def test_bad_factor(gap, factor):
    with pytest.raises(InputError, match="`factor`"):
        factor_bias(gap, factor)


def test_bad_temperature():
    with pytest.raises(InputError, match="`temperature`"):
        tempered_bias(1.0, 0.5)
