"""The continuous audit: calibrated under the null, and what it says it sees it sees."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import binom, chi2, goodness_of_fit, norm, uniform

from spectheory.audit.chi_square_mixture import mixture_quantile, mixture_tail
from spectheory.audit.classifier import audit_classifier, sign_test
from spectheory.audit.continuous import (
    anderson_darling,
    audit_cdf,
    audit_transform,
    audit_uniform,
    kolmogorov_smirnov,
)
from spectheory.audit.continuous_two_sample import audit_energy, audit_mmd, line_energy
from spectheory.errors import InputError, ShapeError

ALPHA = 1e-6
MIRROR = np.arange(100_000)[:, None] % 2


@pytest.mark.parametrize("alpha", [0.5, 1e-2, 1e-6, 1e-60])
def test_the_tail_is_that_of_chi_square(alpha):
    for degrees in (1, 2, 3, 20, 300):
        value = 0.3 * chi2.isf(alpha, degrees)
        assert mixture_tail(np.full(degrees, 0.3), value) == pytest.approx(alpha, rel=1e-8)
        assert mixture_quantile(np.full(degrees, 0.3), alpha) == pytest.approx(value, rel=1e-5)


def test_the_tail_of_unequal_weights_is_that_of_summed_exponentials():
    """Two equal weights make an exponential, and distinct exponentials add up in closed form."""
    rates = np.array([0.5, 0.9, 2.0])
    weights = np.repeat(1 / (2 * rates), 2)
    share = [np.prod([r / (r - rate) for r in rates if r != rate]) for rate in rates]
    for value in (1.0, 10.0, 60.0):
        assert mixture_tail(weights, value) == pytest.approx(
            share @ np.exp(-rates * value), rel=1e-9
        )


def test_where_no_bound_is_known_none_is_given():
    """An atom of 1e-6 at 0 has infinite Anderson-Darling distance; 400 draws do not hold it."""
    draws = np.random.default_rng(3).random(400)
    found = anderson_darling(draws, ALPHA)
    assert (found.smallest, found.upper) == (None, None)
    assert "no bound on the true one" in str(found)
    assert audit_energy(draws, draws[:200]).upper is None
    assert f"at most {kolmogorov_smirnov(draws, ALPHA).upper:.3g}" in str(
        kolmogorov_smirnov(draws, ALPHA)
    )


def test_anderson_darling_is_the_integral_and_scipys_statistic():
    draws = np.random.default_rng(3).random(400)
    found = anderson_darling(draws, ALPHA)
    ranked = np.sort(draws)
    edges = np.concatenate([[0.0], ranked, [1.0]])

    def integrand(u: float, i: int) -> float:
        return (i / 400 - u) ** 2 / (u * (1 - u))

    integral = sum(
        quad(integrand, edges[i], edges[i + 1], args=(i,), epsabs=1e-12)[0] for i in range(401)
    )
    assert found.distance**2 == pytest.approx(integral, rel=1e-8)
    scipys = goodness_of_fit(
        uniform,
        draws,
        known_params={"loc": 0, "scale": 1},
        statistic="ad",
        n_mc_samples=2_000,
        rng=np.random.default_rng(0),
    )
    assert found.distance**2 * 400 == pytest.approx(scipys.statistic, rel=1e-9)
    # Monte Carlo with 2,000 runs, 5 standard errors; at n = 400 the limit law is within 1e-3.
    error = 5 * np.sqrt(scipys.pvalue * (1 - scipys.pvalue) / 2_000) + 1e-3
    assert abs(found.p_bound - scipys.pvalue) <= error


@pytest.mark.parametrize("test", [kolmogorov_smirnov, anderson_darling])
def test_one_sample_false_alarms(test):
    """800 runs at rate 1 %; this test alarms falsely with probability 1e-6."""
    rng = np.random.default_rng(11)
    alarms = sum(test(rng.random(300), 0.01).biased for _ in range(800))
    assert alarms <= binom.isf(1e-6, 800, 0.01)


@pytest.mark.parametrize("test", [audit_energy, audit_mmd])
def test_two_sample_false_alarms(test, monkeypatch):
    """100 runs at rate 10 %; this test alarms falsely with probability 1e-6."""
    monkeypatch.setattr("spectheory.audit.continuous_two_sample.POOLED", 100)
    rng = np.random.default_rng(12)
    options = {"features": 12} if test is audit_mmd else {"projections": 4}
    alarms = 0
    for run in range(100):
        x, y = rng.standard_cauchy((2, 300, 2))
        alarms += test(x, y[:200], 0.1, seed=run, **options).biased
    assert alarms <= binom.isf(1e-6, 100, 0.1)


def test_a_kolmogorov_distance_of_the_smallest_seen_is_seen():
    """40 runs, each seen with probability 0.99: fewer than 35 has probability below 1e-6."""
    smallest = kolmogorov_smirnov(np.random.default_rng(0).random(20_000), ALPHA).smallest
    rng, seen = np.random.default_rng(5), 0
    for _ in range(40):
        draws = rng.random(20_000)
        moved = (draws < 0.5 + smallest) & (draws > 0.5)
        draws[moved] -= 0.5  # F(1/2) becomes 1/2 + smallest
        seen += kolmogorov_smirnov(draws, ALPHA).biased
    assert seen >= 35


def test_the_largest_sample_is_feasible_and_sees_small_shifts():
    rng = np.random.default_rng(7)
    draws = rng.normal(size=400_000)
    assert not audit_cdf(draws, norm.cdf).biased
    assert audit_cdf(draws + 0.02, norm.cdf).biased
    lost_tail = draws[np.abs(draws) < 3.5]
    assert audit_cdf(lost_tail, norm.cdf, 1e-3).p_bound <= 1e-3 or len(draws) - len(lost_tail) < 300


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("one coordinate bent", lambda u: (u ** [1.05, 1.0], "coordinate 0")),
        ("mirrored draws", lambda u: (np.abs(np.repeat(u[::2], 2, 0) - MIRROR), "consecutive")),
        ("repeated draws", lambda u: (np.repeat(u[::2], 2, axis=0), "consecutive draws")),
        (
            "coordinates coupled",
            lambda u: (u[:, [0, 0]] * [1, -1] + [0, 1], "together"),
        ),
    ],
)
def test_each_way_of_not_being_uniform_is_seen(name, spoil):
    uniforms = np.random.default_rng(2).random((100_000, 2))
    assert not audit_uniform(uniforms).biased
    spoilt, where = spoil(uniforms)
    found = audit_uniform(spoilt)
    assert found.biased, name
    assert where in found.test


def test_rosenblatt_in_three_dimensions():
    covariance = np.array([[1.0, 0.7, 0.2], [0.7, 1.0, 0.4], [0.2, 0.4, 1.0]])
    factor = np.linalg.cholesky(covariance)

    def chain(x: np.ndarray) -> np.ndarray:
        return norm.cdf(np.linalg.solve(factor, x.T).T)

    draws = np.random.default_rng(4).multivariate_normal(np.zeros(3), covariance, 60_000)
    assert not audit_transform(draws, chain).biased
    assert audit_transform(draws * [1, 1, 1.1], chain).biased
    assert audit_transform(draws * [1, 1, -1], chain).biased


@pytest.mark.parametrize("dimension", [1, 2, 8])
@pytest.mark.parametrize("test", [audit_energy, audit_mmd, audit_classifier])
def test_two_samples_with_controls_both_ways(test, dimension):
    rng = np.random.default_rng(dimension)
    x, y = rng.normal(size=(2, 20_000, dimension))
    assert not test(x, y, ALPHA).biased
    assert test(x + 0.15, y, ALPHA).biased
    assert test(1.15 * x, y, ALPHA).biased
    if dimension > 1:
        x[:, 1] = np.abs(x[:, 1]) * np.sign(x[:, 0])  # marginals stay
        found = test(x, y, ALPHA)
        assert found.biased
        assert found.distance > found.smallest or test is audit_classifier


def test_line_energy_is_the_double_sum():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=40), rng.exponential(size=25)

    def mean_gap(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.abs(a[:, None] - b).mean())

    assert line_energy(x, y) == pytest.approx(2 * mean_gap(x, y) - mean_gap(x, x) - mean_gap(y, y))


def test_too_few_trials_see_no_advantage_at_all():
    """Ten heads of ten come with 2^-10, which is above 1e-6."""
    assert sign_test("coins", 10, 10, (10,), 1e-6).smallest is None
    assert 0.9 < sign_test("coins", 10, 20, (20,), 1e-6).smallest < 1


def test_sign_test_states_its_power_and_its_bound():
    found = sign_test("coins", 5_300, 10_000, (10_000,), 1e-3)
    heads = binom.isf(1e-3, 10_000, 0.5) + 1
    assert binom.sf(heads - 1, 10_000, 0.5) <= 1e-3 < binom.sf(heads - 2, 10_000, 0.5)
    assert binom.sf(heads - 1, 10_000, (1 + found.smallest) / 2) == pytest.approx(0.99, abs=1e-9)
    assert binom.cdf(5_300, 10_000, (1 + found.upper) / 2) == pytest.approx(1e-3, rel=1e-6)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: audit_cdf([0.1] * 5, norm.cdf), "n >= 10 draws"),
        (lambda: audit_cdf(np.full(20, np.nan), norm.cdf), "`samples` holds NaN"),
        (lambda: audit_cdf(np.zeros((20, 2)), norm.cdf), "2 coordinates"),
        (lambda: audit_cdf(np.arange(20.0), norm.logpdf), "lie in"),
        (lambda: audit_cdf(np.arange(20.0), norm.cdf, alpha=0), "`alpha` is 0"),
        (lambda: audit_energy(np.zeros((20, 2)), np.zeros((20, 3))), "one space"),
        (lambda: audit_mmd(np.zeros(20), np.zeros(20)), "the same point"),
        (lambda: audit_classifier(np.zeros((20, 2)), np.zeros((20, 3))), "one space"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises((InputError, ShapeError), match=words):
        call()
