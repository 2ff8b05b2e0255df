"""Path rules on linear Gaussian chains, where every law is known.

False-alarm rate of each statistical test: 1e-6 for audits of laws (set by `audit_cdf`), and below
1e-6 for acceptances (five standard errors, two-sided 5.7e-7).
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from scipy import integrate
from scipy.stats import multivariate_normal, norm

from spectheory.audit.continuous import audit_cdf
from spectheory.continuous.path_chain import DenoisingChain, Kernel, LinearChain, draw_path
from spectheory.continuous.path_independent import IndependentPaths
from spectheory.continuous.path_marginal import Marginal
from spectheory.continuous.path_published import CSpDPublished
from spectheory.continuous.path_reflection import StepwiseReflection
from spectheory.continuous.path_released import CSpDReleased
from spectheory.continuous.path_rule import path_rule, path_rules
from spectheory.continuous.path_same import SamePath
from spectheory.continuous.path_shared_noise import SharedNoise
from spectheory.errors import EmptyResidual, InputError, ShapeError, UnknownName

N, FEWER = 400_000, 100_000


def chain(decay, shift, scale):
    return LinearChain(np.array(decay), np.array(shift), np.array(scale))


# One step, x_0 = c x_1 + s eps.
TOY = chain([1.0], [0.0], [0.4]), chain([0.7], [0.0], [0.4])
THREE = chain([0.9] * 3, [0.1] * 3, [0.6] * 3), chain([0.7] * 3, [0.0] * 3, [0.6] * 3)
# Variances that differ at every step, as where a network learns them.
LEARNED = chain([0.9] * 3, [0.1] * 3, [0.6, 0.7, 0.5]), chain([0.7] * 3, [0.0] * 3, [0.8, 0.5, 0.9])

LOSSLESS = [rule for rule in path_rules().values() if rule.lossless]


def sample(rule, pair, n=N, seed=0):
    return rule.draw(*pair, n, np.random.default_rng(seed))


def law_of(target):
    marginal = target.marginal(1)
    return norm(marginal.mean[0, 0], marginal.scale[0, 0]).cdf


def audit(rule, pair, n=N, seed=0):
    drawn = sample(rule, pair, n, seed)
    return audit_cdf(drawn.sample[:, 0], law_of(pair[0]))


def assert_rate(accepted, expected, slack=0.0):
    rate, error = accepted.mean(), np.sqrt(expected * (1 - expected) / len(accepted))
    assert abs(rate - expected) <= 5 * error + slack, (rate, expected, error)


def overlap(p, q):
    """1 - TV of two frozen normal laws, by quadrature."""
    low, high = (
        pick(law.ppf(tail) for law in (p, q)) for pick, tail in ((min, 1e-13), (max, 1 - 1e-13))
    )
    grid = np.linspace(low, high, 2_001)
    nodes, weights = np.polynomial.legendre.leggauss(8)
    half = (grid[1] - grid[0]) / 2
    x = (grid[:-1] + half)[:, None] + half * nodes
    return float((np.minimum(p.pdf(x), q.pdf(x)) @ weights).sum() * half)


def expected_overlap(gap_mean, gap_scale, scales):
    """E of the overlap of two normals whose means are a normal gap apart, by quadrature."""

    def inside(gap):
        return overlap(norm(gap, scales[0]), norm(0, scales[1])) * norm.pdf(
            gap, gap_mean, gap_scale
        )

    edges = gap_mean + gap_scale * np.linspace(-9, 9, 25)
    nodes, weights = np.polynomial.legendre.leggauss(6)
    total = 0.0
    for a, b in pairwise(edges):
        points = (a + b) / 2 + (b - a) / 2 * nodes
        total += (b - a) / 2 * sum(w * inside(g) for w, g in zip(weights, points, strict=True))
    return total


def noise_gap(pair, shared):
    """Mean and standard deviation of x_1^p - x_1^q times the last decays, from the linear maps."""

    def weights(c):
        row, shift = np.zeros(c.steps), 0.0
        row[-1] = 1.0  # x_T
        for t in range(c.steps, 1, -1):
            row *= c.decay[t - 1]
            shift = c.decay[t - 1] * shift + c.shift[t - 1]
            row[t - 2] += c.scale[t - 1]
        return c.decay[0] * row, c.decay[0] * shift + c.shift[0]

    (row_p, mean_p), (row_q, mean_q) = (weights(c) for c in pair)
    spread = row_p - row_q if shared else np.concatenate([row_p, row_q])
    return mean_p - mean_q, float(np.linalg.norm(spread))


# -- acceptance ------------------------------------------------------------------------------


def test_toy_acceptances_have_closed_forms():
    # 1 - (2 / pi) atan k: k = |c_p - c_q| / 2 s shared, sqrt(c_p^2 + c_q^2) / 2 s independent.
    shared = 1 - 2 / np.pi * np.arctan(0.3 / 0.8)
    apart = 1 - 2 / np.pi * np.arctan(np.hypot(1.0, 0.7) / 0.8)
    ideal = overlap(norm(0, np.hypot(1.0, 0.4)), norm(0, np.hypot(0.7, 0.4)))
    assert shared == pytest.approx(0.77160, abs=5e-6)
    assert apart == pytest.approx(0.36934, abs=5e-6)
    assert ideal == pytest.approx(0.86082, abs=5e-6)
    assert_rate(sample(SharedNoise(), TOY).accepted, shared)
    assert_rate(sample(IndependentPaths(), TOY).accepted, apart)
    assert_rate(sample(Marginal(), TOY).accepted, ideal)


@pytest.mark.parametrize("pair", [THREE, LEARNED], ids=["equal", "learned"])
def test_shared_and_independent_acceptance_by_quadrature(pair):
    last = pair[0].scale[0], pair[1].scale[0]
    for rule, shared in ((SharedNoise(), True), (IndependentPaths(), False)):
        expected = expected_overlap(*noise_gap(pair, shared), last)
        assert_rate(sample(rule, pair, FEWER).accepted, expected)
    ends = [c.marginal(1) for c in pair]
    ideal = overlap(*(norm(end.mean[0, 0], end.scale[0, 0]) for end in ends))
    assert_rate(sample(Marginal(), pair).accepted, ideal)


def joint(c):
    """Mean and covariance of (x_0, ..., x_T), by the linear map of the noise."""
    steps = c.steps
    factor, mean = np.zeros((steps + 1, steps + 1)), np.zeros(steps + 1)
    factor[steps, steps] = 1.0
    for t in range(steps, 0, -1):
        factor[t - 1] = c.decay[t - 1] * factor[t]
        factor[t - 1, t - 1] = c.scale[t - 1]
        mean[t - 1] = c.decay[t - 1] * mean[t] + c.shift[t - 1]
    return mean, factor @ factor.T


@pytest.mark.parametrize("pair", [THREE, LEARNED], ids=["equal", "learned"])
def test_same_path_acceptance_is_the_overlap_of_the_path_laws(pair):
    (mean_p, cov_p), (mean_q, cov_q) = (joint(c) for c in pair)
    p, q = multivariate_normal(mean_p, cov_p), multivariate_normal(mean_q, cov_q)
    x = q.rvs(N, random_state=np.random.default_rng(7))
    ratios = np.minimum(1.0, np.exp(p.logpdf(x) - q.logpdf(x)))
    slack = 5 * ratios.std() / np.sqrt(N)
    assert_rate(sample(SamePath(), pair).accepted, ratios.mean(), slack)


def test_sharing_to_the_start_is_testing_the_whole_path():
    shared, same = (sample(rule, THREE, 2_000) for rule in (SharedNoise(last=3), SamePath()))
    assert np.array_equal(shared.sample, same.sample)
    assert np.array_equal(shared.log_ratio, same.log_ratio)


def test_order_of_the_rules():
    rates = {
        rule.key: sample(rule, THREE, FEWER, seed=3).accepted.mean()
        for rule in (*LOSSLESS, SharedNoise(last=3))
    }
    error = 5 * np.sqrt(0.5 / FEWER)
    assert all(rate <= rates["marginal"] + error for rate in rates.values())
    assert rates["stepwise_reflection"] <= rates["same_path"] + error
    # Where the chain contracts slowly sharing wins over independence, not over the whole path.
    assert rates["shared_noise"] > rates["independent_paths"] + 0.1
    assert rates["shared_noise"] < rates["same_path"] - error


def test_stepwise_reflection_in_many_dimensions_depends_on_distance_only():
    # One step, d coordinates, shift a in each: 2 Phi(-a sqrt(d) / 2).
    for d, a in ((1, 0.8), (4, 0.4), (16, 0.2)):
        pair = [LinearChain(np.zeros(1), np.full((1, d), m), np.ones(1)) for m in (a, 0.0)]
        drawn = sample(StepwiseReflection(), pair, 100_000)
        assert_rate(drawn.accepted, 2 * norm.cdf(-0.4))
        along = drawn.sample @ np.full(d, d**-0.5)
        assert not audit_cdf(along, norm(a * np.sqrt(d)).cdf).biased


def test_very_many_dimensions_stay_finite():
    d = 10_000
    pair = [LinearChain(np.zeros(2), np.full((2, d), m), np.ones(2)) for m in (0.01, 0.0)]
    for rule in (SharedNoise(), SamePath(), StepwiseReflection(), CSpDPublished()):
        drawn = sample(rule, pair, 50)
        assert np.isfinite(drawn.sample).all()
        assert np.isfinite(drawn.log_ratio).all()


# -- output laws -----------------------------------------------------------------------------


@pytest.mark.parametrize("rule", LOSSLESS, ids=lambda rule: rule.key)
@pytest.mark.parametrize("pair", [THREE, LEARNED], ids=["equal", "learned"])
def test_lossless_rules_output_the_target(rule, pair):
    if rule.equal_scales and pair is LEARNED:
        with pytest.raises(InputError, match="equal covariances"):
            sample(rule, pair, 10)
        return
    found = audit(rule, pair)
    assert not found.biased, found


@dataclass(frozen=True)
class WavyChain(DenoisingChain):
    """x_1 is standard normal; mean and deviation of x_0 both depend on it, as a network's would."""

    bend: float
    steps = 2
    dimension = 1

    def kernel(self, t, x):
        if t == 2:
            return Kernel(0.8 * x, np.array(0.6))
        return Kernel(np.sin(self.bend * x), 0.5 + 0.3 * np.cos(self.bend * x))

    def rows(self, index):
        return self

    def cdf(self, values):
        nodes, weights = np.polynomial.hermite_e.hermegauss(80)
        at = self.kernel(1, nodes[:, None])
        grid = np.linspace(-8, 8, 4_001)
        law = weights @ norm.cdf(grid, at.mean, at.scale) / weights.sum()
        return np.interp(values, grid, law)


@pytest.mark.parametrize(
    "rule", [rule for rule in LOSSLESS if not (rule.needs_marginals or rule.equal_scales)], ids=str
)
def test_variances_that_depend_on_the_state(rule):
    target, draft = WavyChain(1.0), WavyChain(0.8)
    drawn = sample(rule, (target, draft), 200_000)
    found = audit_cdf(drawn.sample[:, 0], target.cdf)
    assert not found.biased, found
    assert audit_cdf(drawn.draft[:, 0], target.cdf).biased


@pytest.mark.parametrize("aligned", [True, False])
def test_published_rule_is_exact_for_shared_variances_only(aligned):
    rule = CSpDPublished(aligned=aligned)
    assert not audit(rule, THREE).biased
    # The same chains, the draft's second step 1.3 times as wide: f = 1.3.
    wider = chain([0.7] * 3, [0.0] * 3, [0.6, 0.78, 0.6])
    assert audit(rule, (THREE[0], wider)).biased
    exact = SharedNoise() if aligned else IndependentPaths()
    assert not audit(exact, (THREE[0], wider)).biased


def test_ratio_has_mean_one_and_the_factor_moves_it():
    wider = chain([0.75, 0.9, 0.9], [0.0] * 3, [0.6, 0.75, 0.6])
    pair = chain([0.9] * 3, [0.1] * 3, [0.6] * 3), wider
    for rule, mean in ((SharedNoise(), 1.0), (SamePath(), 1.0), (CSpDPublished(), 1.25)):
        ratio = np.exp(sample(rule, pair).log_ratio)
        error = ratio.std() / np.sqrt(N)
        assert error < 0.02
        assert abs(ratio.mean() - mean) <= 5 * error, rule.key


@dataclass(frozen=True)
class FreshResidual(SharedNoise):
    """Negative control: the right test, but the residual forgets the noise."""

    def examine(self, target, draft, path, rng):
        honest = super().examine(target, draft, path, rng)
        other = super().examine(target, draft, draw_path(draft, len(path.noise), rng), rng)
        return honest._replace(redraw=other.redraw)


def test_residual_on_fresh_noise_is_caught():
    pair = chain([1.0], [0.0], [0.4]), chain([0.3], [0.0], [0.4])
    assert not audit(SharedNoise(), pair).biased
    assert audit(FreshResidual(), pair).biased


@dataclass(frozen=True)
class FallBack(SharedNoise):
    """Negative control: a rejected draft is replaced by a plain draw of the target."""

    def examine(self, target, draft, path, rng):
        found = super().examine(target, draft, path, rng)
        plain = draw_path(target, len(path.noise), rng).sample
        ones = np.ones(len(plain), dtype=np.int64)
        return found._replace(redraw=lambda rows: (plain[rows], ones[rows]))


def test_falling_back_to_the_target_is_caught():
    assert audit(FallBack(), THREE).biased


# -- redraws ---------------------------------------------------------------------------------


def test_proposals_have_mean_one_and_the_known_variance():
    # One law given any noise: decay 0 in the only step; 1 - TV = 2 Phi(-1/2).
    pair = chain([0.0], [1.0], [1.0]), chain([0.0], [0.0], [1.0])
    accept = 2 * norm.cdf(-0.5)
    proposals = sample(SharedNoise(), pair).proposals
    variance = 2 * accept / (1 - accept)
    # Moments of a mixture of 0 and a geometric number, fourth one by summation.
    k = np.arange(1, 2_000)
    p = (1 - accept) ** 2 * accept ** (k - 1)
    fourth = ((k - 1.0) ** 4 * p).sum() + accept
    assert abs(proposals.mean() - 1) <= 5 * np.sqrt(variance / N)
    assert abs(proposals.var() - variance) <= 5 * np.sqrt((fourth - variance**2) / N)


def test_empty_residual_is_raised_not_looped_on():
    # Equal means, f = 1/2: half of the drafts fall, and (f p - q)_+ is zero everywhere.
    pair = chain([0.0, 0.0], [0.0, 0.0], [1.0, 1.0]), chain([0.0, 0.0], [0.0, 0.0], [1.0, 0.5])
    with pytest.raises(EmptyResidual, match=r"f p <= q everywhere, with f down to 0\.5"):
        sample(CSpDPublished(), pair, 100)
    assert not audit(SharedNoise(), pair).biased
    # Means that differ by a hair: not empty, but nothing can be drawn from it.
    near = chain([0.0, 0.0], [0.01, 0.0], [1.0, 1.0]), pair[1]
    with pytest.raises(EmptyResidual, match="next to no mass"):
        sample(CSpDPublished(most_proposals=1_000), near, 100)


def test_released_rule_accepts_nearly_everything_and_outputs_the_drafts():
    drawn = sample(CSpDReleased(), THREE)
    assert drawn.accepted.mean() > 0.99
    assert audit(CSpDReleased(), THREE).biased
    # Without noise in the last step it is narrower by that step's variance.
    spread = drawn.draft.var()
    expected = THREE[1].marginal(1).scale[0, 0] ** 2 - 0.6**2
    assert abs(spread / expected - 1) <= 5 * np.sqrt(2 / N)


def test_released_rule_gives_up_after_its_limit():
    # f = 1/2 and equal means: rejected rows find no replacement, and stay zero.
    pair = chain([0.0, 0.0], [3.0, 0.0], [1.0, 0.5]), chain([0.0, 0.0], [3.0, 0.0], [1.0, 1.0])
    drawn = sample(CSpDReleased(), pair, 10_000)
    assert_rate(drawn.accepted, 0.5)
    assert (drawn.sample[~drawn.accepted] == 0).all()
    assert (drawn.proposals[~drawn.accepted] == 100).all()


# -- input -----------------------------------------------------------------------------------


def test_bad_input():
    with pytest.raises(UnknownName, match="cspd"):
        path_rule("cspd")
    with pytest.raises(ShapeError, match="step by step"):
        sample(SharedNoise(), (THREE[0], TOY[1]), 10)
    with pytest.raises(InputError, match="1 to the number of steps, 3"):
        sample(SharedNoise(last=4), THREE, 10)
    with pytest.raises(InputError, match="without noise"):
        chain([1.0], [0.0], [0.0])
    with pytest.raises(ShapeError, match="lengths"):
        chain([1.0, 1.0], [0.0], [1.0])
    with pytest.raises(ShapeError, match="for x_T"):
        THREE[0].run(np.zeros((2, 3, 1)))


def test_a_tape_of_integers_is_run_as_numbers():
    one = chain([0.5], [0.0], [1.0])
    assert one.run(np.array([[[0], [1]]])).tolist() == [[[0.5], [1.0]]]


def test_quadrature_helper_agrees_with_scipy():
    p, q = norm(0.3, 1.0), norm(0.0, 1.7)
    value, _ = integrate.quad(lambda x: min(p.pdf(x), q.pdf(x)), -12, 12, limit=400, epsabs=1e-10)
    assert overlap(p, q) == pytest.approx(value, abs=1e-7)
