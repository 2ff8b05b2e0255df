"""Every coupling: law of the output and of the drafts, acceptance, proposals, refusals.

A test of an output law raises a false alarm with probability at most 1e-7, and so does one of an
acceptance (5.4 standard errors). Seeds are fixed.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import beta, norm

from spectheory.audit.continuous import audit_cdf, audit_transform
from spectheory.audit.continuous_two_sample import audit_energy
from spectheory.continuous.couple_optimal import OptimalCoupling, score_plan
from spectheory.continuous.couple_ranks import RankCoupling, _order_statistics
from spectheory.continuous.couple_recursive import RecursiveCoupling
from spectheory.continuous.couple_shift import residual_coordinate
from spectheory.continuous.couple_thinning import ThinningCoupling
from spectheory.continuous.coupling import coupling, couplings, replaced
from spectheory.continuous.density import Density
from spectheory.continuous.gaussian import Gaussian
from spectheory.continuous.mixture import Mixture, on_line
from spectheory.continuous.multi_draft import optimal_acceptance
from spectheory.continuous.overlap import ratio_law
from spectheory.continuous.pair import ContinuousPair
from spectheory.continuous.univariate import exponential, laplace, normal, student, uniform
from spectheory.errors import EmptyResidual, InputError, SchemeMismatch, ShapeError, UnknownName

FALSE_ALARM = 1e-7
ERRORS = 5.4
DRAWS = 40_000

PAIRS = {
    "shift": ContinuousPair(Gaussian(1.0), Gaussian(0.0)),
    "narrower target": ContinuousPair(Gaussian(0.0), Gaussian(0.5, 2.89)),
    "Laplaces": ContinuousPair(laplace(1.3, 0.8), laplace(0.0, 0.8)),
    "exponentials": ContinuousPair(exponential(1.0), exponential(2.5)),
    "uniforms": ContinuousPair(uniform(0.0, 2.0), uniform(0.5, 3.0)),
    "humps": ContinuousPair(
        Mixture([0.3, 0.7], [Gaussian(-1.0, 0.04), Gaussian(1.0)]), Gaussian(0.0, 2.25)
    ),
}
ROOT = np.array([[1.0, 0.0, 0.0], [0.5, 0.8, 0.0], [-0.3, 0.2, 0.6]])
SOLID = {
    "one covariance": ContinuousPair(
        Gaussian([1.0, 0.5, 0.0], ROOT @ ROOT.T), Gaussian(np.zeros(3), ROOT @ ROOT.T)
    ),
    "two covariances": ContinuousPair(
        Gaussian([0.3, 0.0, 0.2], ROOT @ ROOT.T), Gaussian(np.zeros(3), [1.0, 1.5, 0.7])
    ),
}
CASES = [
    (key, name, k)
    for key, one in couplings().items()
    for name, pair in PAIRS.items()
    for k in (1, 3)
    if one.serves(pair, k)
]
SOLID_CASES = [
    (key, name, k)
    for key, one in couplings().items()
    for name, pair in SOLID.items()
    for k in (1, 3)
    if one.serves(pair, k)
]
APART = {
    "disjoint": ContinuousPair(uniform(0.0, 1.0), uniform(2.0, 3.0)),
    "far": ContinuousPair(Gaussian(0.0), Gaussian(20.0)),
    "farther": ContinuousPair(Gaussian([60.0, 80.0]), Gaussian([0.0, 0.0])),
}
APART_CASES = [
    (key, name, k)
    for key, one in couplings().items()
    for name, pair in APART.items()
    for k in (1, 2, 8)
    if one.most_drafts is None and one.serves(pair, k)
]


def biased(law: Density, points: np.ndarray) -> bool:
    line = on_line(law)
    if line is not None:
        return audit_cdf(points, line.cdf, FALSE_ALARM).biased
    return audit_transform(points, lambda x: norm.cdf(law.standardised(x)), FALSE_ALARM).biased


@pytest.mark.parametrize(("key", "name", "k"), CASES + SOLID_CASES)
def test_laws_and_acceptance(key, name, k):
    pair = (PAIRS | SOLID)[name]
    drawn = coupling(key).draw(pair, DRAWS, np.random.default_rng(11), k)
    assert not biased(pair.target, drawn.sample)
    for slot in range(k):
        assert not biased(pair.draft, drawn.drafts[:, slot])
    taken = drawn.accepted
    same = drawn.drafts[np.flatnonzero(taken), drawn.slot[taken]]
    assert np.array_equal(drawn.sample[taken], same)
    assert not drawn.proposals[taken].any()
    if key == "poisson_functional" and name == "two covariances":
        return  # its match probability has no formula there
    exact = coupling(key).acceptance(pair, k)
    assert exact <= optimal_acceptance(ratio_law(pair), k) + 1e-9
    error = math.sqrt(exact * (1 - exact) / DRAWS)
    assert abs(taken.mean() - exact) <= ERRORS * error + 1e-12


@pytest.mark.parametrize("delta", [0.5, 1.0, 2.0, 3.0])
@pytest.mark.parametrize("k", [2, 4, 8])
def test_the_optimum_is_attained(delta, k):
    pair = ContinuousPair(Gaussian([delta, 0.0]), Gaussian([0.0, 0.0]))
    c = np.linspace(-8, 12, 200_001)
    optimum = 1 - np.max(norm.sf(c - delta) - 1 + norm.cdf(c) ** k)
    drawn = OptimalCoupling().draw(pair, DRAWS, np.random.default_rng(5), k)
    error = math.sqrt(optimum * (1 - optimum) / DRAWS)
    assert abs(drawn.accepted.mean() - optimum) <= ERRORS * error + 1e-5
    assert not biased(pair.target, drawn.sample)
    for key in ("k_seq", "recursive"):
        assert coupling(key).acceptance(pair, k) < optimum - 1e-4


def test_scores_are_uniform_whatever_the_pair():
    """On this the losslessness of the optimal coupling rests."""
    rng = np.random.default_rng(3)
    for pair in PAIRS.values():
        log_r = pair.log_ratio(pair.draft.sample(DRAWS, rng))
        scores, _ = score_plan(ratio_law(pair), 4).scores(log_r, rng)
        assert not audit_cdf(scores, lambda u: np.clip(u, 0, 1), FALSE_ALARM).biased


@pytest.mark.parametrize(("key", "name", "k"), APART_CASES)
def test_densities_so_far_apart_that_no_draft_is_accepted(key, name, k):
    pair, one = APART[name], coupling(key)
    assert one.acceptance(pair, k) < 1e-20
    drawn = one.draw(pair, 10_000, np.random.default_rng(7), k)
    assert not drawn.accepted.any()
    assert np.all(drawn.proposals == 1)
    assert not biased(pair.target, drawn.sample)


# -- what must be caught ---------------------------------------------------------------------


def test_drafts_sorted_by_their_ratio_bias_recursive_rejection():
    pair = PAIRS["shift"]
    rng = np.random.default_rng(0)
    drafts = -np.sort(-pair.draft.sample(4 * DRAWS, rng).reshape(DRAWS, 4), axis=1)[..., None]
    drawn = RecursiveCoupling().verify(pair, drafts, rng)
    assert biased(pair.target, drawn.sample)


def test_falling_back_to_the_target_is_biased():
    pair = PAIRS["shift"]
    rng = np.random.default_rng(0)
    for key in ("rejection", "optimal"):
        drawn = coupling(key).draw(pair, DRAWS, rng)
        sample = drawn.sample.copy()
        sample[~drawn.accepted] = pair.target.sample(int((~drawn.accepted).sum()), rng)
        assert biased(pair.target, sample)


@pytest.mark.parametrize("key", sorted(set(couplings()) - {"poisson_functional", "thinning"}))
def test_drafts_of_another_density_are_caught(key):
    pair = PAIRS["shift"]
    rng = np.random.default_rng(0)
    drafts = Gaussian(-0.3).sample(DRAWS, rng)
    assert biased(pair.target, coupling(key).verify(pair, drafts, rng).sample)


def test_energy_audit_in_three_dimensions_and_its_power():
    pair = SOLID["two covariances"]
    rng = np.random.default_rng(2)
    drawn = OptimalCoupling().draw(pair, DRAWS, rng, 2)
    reference = pair.target.sample(DRAWS, rng)
    assert not audit_energy(drawn.sample, reference, FALSE_ALARM).biased
    assert audit_energy(drawn.drafts[:, 0], reference, FALSE_ALARM).biased


# -- proposals, residuals, match probabilities -----------------------------------------------


@pytest.mark.parametrize("delta", [0.5, 1.0, 2.0])
def test_proposals_have_mean_one_and_the_stated_variance(delta):
    pair = ContinuousPair(Gaussian(delta), Gaussian(0.0))
    a = 2 * norm.cdf(-delta / 2)
    n = 400_000
    counts = coupling("rejection").draw(pair, n, np.random.default_rng(1)).proposals
    variance = 2 * a / (1 - a)
    assert counts.mean() == pytest.approx(1, abs=ERRORS * math.sqrt(variance / n))
    # fourth central moment of N = B G: B Bernoulli(1 - a), G geometric(1 - a)
    j = np.arange(2_000)
    chance = np.where(j == 0, a, (1 - a) ** 2 * a ** np.maximum(j - 1.0, 0.0))
    fourth = float(chance @ (j - 1.0) ** 4)
    assert float(chance @ (j - 1.0) ** 2) == pytest.approx(variance, rel=1e-9)
    spread = math.sqrt((fourth - variance**2) / n)
    assert counts.var() == pytest.approx(variance, abs=ERRORS * spread)


def test_residual_coordinate_inverts_its_distribution_function():
    delta = 1.3
    u = np.linspace(0.001, 0.999, 50)
    s = residual_coordinate(delta, u)
    tail = (norm.sf(s - delta) - norm.sf(s)) / (norm.cdf(delta / 2) - norm.cdf(-delta / 2))
    np.testing.assert_allclose(tail, u, atol=1e-12)


@pytest.mark.parametrize(("delta", "match"), [(0.5, 0.74441), (1.0, 0.53868), (2.0, 0.25545)])
def test_match_probability_of_one_list(delta, match):
    """Against ``int du / (Phi(delta - u) / phi(u - delta) + Phi(u) / phi(u))``."""
    u = np.linspace(-12, 14, 200_001)
    inner = norm.sf(u - delta) / norm.pdf(u - delta) + norm.cdf(u) / norm.pdf(u)
    pair = ContinuousPair(Gaussian([delta, 0.0]), Gaussian([0.0, 0.0]))
    found = coupling("poisson_functional").acceptance(pair)
    assert found == pytest.approx(float((1 / inner).sum() * (u[1] - u[0])), abs=1e-8)
    assert found == pytest.approx(match, abs=5e-6)
    overlap = 2 * norm.cdf(-delta / 2)
    assert overlap / (2 - overlap) <= found <= overlap


def test_highest_rank_alone_can_be_worse_than_one_draft():
    pair = ContinuousPair(Gaussian(0.5), Gaussian(0.0))
    top = RankCoupling(weights=(0.0,) * 7 + (1.0,))
    assert top.acceptance(pair, 8) == pytest.approx(0.529, abs=5e-4)
    assert top.acceptance(pair, 8) < coupling("rejection").acceptance(pair)
    best = RankCoupling()
    assert best.acceptance(pair, 8) > coupling("rejection").acceptance(pair)
    drawn = top.draw(pair, DRAWS, np.random.default_rng(0), 8)
    assert not biased(pair.target, drawn.sample)


RANKED = {
    "Students": ContinuousPair(student(3.0), student(1.5, 0.0, 2.0)),
    "Cauchy over normal": ContinuousPair(student(1.0), normal(0.0, 1.0)),
    "narrow under wide": ContinuousPair(normal(0.0, 1.0), normal(0.0, 3.0)),
}


@pytest.mark.parametrize("name", RANKED)
@pytest.mark.parametrize("weights", [(0.5, 0.5), (0.9, 0.1), (0.0, 0.7, 0.3)])
def test_acceptance_of_ranks_against_a_trapezoid_rule(name, weights):
    """Along ``x = sinh s`` the rule converges on tails, and at kinks as the square of its step."""
    pair, k = RANKED[name], len(weights)
    s = np.linspace(-60, 60, 400_001)
    x = np.sinh(s)
    u = pair.draft.cdf(x)
    pick = sum(
        w * k * math.comb(k - 1, j) * u**j * (1 - u) ** (k - 1 - j) for j, w in enumerate(weights)
    )
    with np.errstate(over="ignore"):
        p, q = np.exp(pair.target.log_density(x)), np.exp(pair.draft.log_density(x))
    expected = float((np.minimum(p, q * pick) * np.cosh(s)).sum() * (s[1] - s[0]))
    assert RankCoupling(weights=weights).acceptance(pair, k) == pytest.approx(expected, abs=2e-8)


def test_acceptance_of_ranks_by_hand():
    # 2 (1 - U) times q = 0.4 meets p = 0.5 at x = 1.4375
    lower = 0.5 * 0.9375 + 0.8 * (1.5 - 0.9375 - (1.5**2 - 0.9375**2) / 5)
    assert RankCoupling(weights=(1.0, 0.0)).acceptance(PAIRS["uniforms"], 2) == pytest.approx(
        lower, abs=1e-12
    )
    far = ContinuousPair(normal(0.0, 1.0), normal(8.0, 1.0))
    assert RankCoupling().acceptance(far) == pytest.approx(2 * norm.cdf(-4.0), rel=1e-9, abs=0)


@pytest.mark.parametrize("name", RANKED)
def test_best_ranks_are_no_worse_than_one_draft(name):
    """Two ranks of weight 1/2 are one draft."""
    pair = RANKED[name]
    single = coupling("rejection").acceptance(pair)
    assert RankCoupling().acceptance(pair, 2) > single - 2e-6


def test_order_statistics_of_very_many_drafts():
    """Their mean over the ranks is the draft's own density, and one rank is a Beta law."""
    u = np.linspace(0, 1, 9)
    found = _order_statistics(u, 1100)
    np.testing.assert_allclose(found.mean(axis=1), 1.0, rtol=1e-9)
    np.testing.assert_allclose(found[:, 500], beta(501, 600).pdf(u), rtol=1e-9, atol=1e-12)


def test_ranks_of_identical_gaussians_in_the_plane():
    pair = ContinuousPair(Gaussian([0.0, 1.0]), Gaussian([0.0, 1.0]))
    middle = RankCoupling(weights=(0.0, 1.0, 0.0))
    drawn = middle.draw(pair, DRAWS, np.random.default_rng(0), 3)
    expected, n = middle.acceptance(pair, 3), DRAWS
    assert 0.7 < expected < 0.9
    # 5 standard deviations: false alarms below 1e-6, and 0.02 off is seen
    assert abs((drawn.slot < 3).mean() - expected) < 5 * math.sqrt(0.25 / n)
    for coordinate in (0, 1):
        law = Gaussian(float(pair.target.mean[coordinate]))
        assert not biased(law, drawn.sample[:, coordinate : coordinate + 1])


# -- refusals --------------------------------------------------------------------------------


def test_an_empty_residual_is_raised():
    pair = PAIRS["shift"]
    rejected = np.array([1])
    with pytest.raises(EmptyResidual, match="no replacement"):
        replaced(pair, np.zeros((1, 1, 1)), rejected, np.zeros_like, np.random.default_rng(0))


def test_refusals_say_why():
    rng = np.random.default_rng(0)
    with pytest.raises(SchemeMismatch, match="up to 1"):
        coupling("rejection").draw(PAIRS["shift"], 5, rng, 2)
    with pytest.raises(SchemeMismatch, match="one covariance"):
        coupling("reflection").draw(PAIRS["narrower target"], 5, rng)
    with pytest.raises(SchemeMismatch, match="no bound"):
        coupling("thinning").draw(PAIRS["shift"], 5, rng)
    hidden = ContinuousPair(Mixture([1.0], [Gaussian([0.0, 1.0])]), Gaussian([0.0, 0.0]))
    with pytest.raises(SchemeMismatch, match="not known"):
        coupling("optimal").draw(hidden, 5, rng, 2)
    assert coupling("rejection").draw(hidden, 5, rng).sample.shape == (5, 2)
    with pytest.raises(ShapeError, match=r"expected \(n, k, 1\)"):
        coupling("optimal").verify(PAIRS["shift"], np.zeros((3, 2, 2)), rng)
    with pytest.raises(InputError, match="below the supremum"):
        ThinningCoupling(log_bound=0.1).acceptance(PAIRS["narrower target"])
    with pytest.raises(InputError, match="not dominated"):
        ThinningCoupling(log_bound=0.1).draw(hidden, 1000, rng)
    for bound in (np.nan, -1.0, np.inf):
        with pytest.raises(InputError, match="`log_bound`"):
            ThinningCoupling(log_bound=bound)
    with pytest.raises(InputError, match="law over 2 ranks"):
        RankCoupling(weights=(1.0,)).draw(PAIRS["shift"], 5, rng, 2)
    with pytest.raises(InputError, match="law over 2 ranks"):
        RankCoupling(weights=(np.nan, 0.5)).acceptance(PAIRS["shift"], 2)
    with pytest.raises(UnknownName, match="no coupling"):
        coupling("best")


@pytest.mark.parametrize("key", [key for key in couplings() if hasattr(coupling(key), "verify")])
def test_drafts_that_are_no_numbers_are_refused(key):
    pair = PAIRS["narrower target" if key == "thinning" else "shift"]
    for bad in (np.nan, np.inf):
        with pytest.raises(InputError, match="`drafts` holds"):
            coupling(key).verify(pair, np.array([[0.0], [bad]]), np.random.default_rng(0))
