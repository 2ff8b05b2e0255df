"""Overlaps: closed forms, contour integrals, level crossings and Monte Carlo against each other."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy.special import ndtr, roots_genlaguerre
from scipy.stats import chi2, norm, ortho_group

from spectheory.continuous.chain import DiffusionChain, linear_path
from spectheory.continuous.closed_forms import closed_form_overlap
from spectheory.continuous.gaussian import Gaussian
from spectheory.continuous.gaussian_ratio import GaussianRatio, gaussian_ratio
from spectheory.continuous.line_ratio import LineRatio
from spectheory.continuous.mixture import Mixture, on_line
from spectheory.continuous.overlap import exact_overlap, overlap, ratio_law
from spectheory.continuous.pair import ContinuousPair
from spectheory.continuous.torch_density import TorchDensity, from_torch
from spectheory.continuous.univariate import exponential, laplace, normal, student, uniform
from spectheory.errors import InputError, NoRatioLaw, ShapeError

TWO_HUMPS = Mixture([0.3, 0.7], [Gaussian(-1.0, 0.04), Gaussian(1.0)])
LINES = {
    "Laplace, one scale": (laplace(1.3, 0.8), laplace(0.0, 0.8)),
    "Laplace, two scales": (laplace(1.3, 0.5), laplace(0.0, 0.8)),
    "exponentials": (exponential(1.0), exponential(2.5)),
    "exponentials apart": (exponential(1.0, 0.4), exponential(2.5)),
    "uniforms": (uniform(0.0, 2.0), uniform(1.0, 4.0)),
    "uniform in normal": (uniform(-1.0, 1.0), normal(0.0, 1.0)),
    "normal over uniform": (normal(0.0, 1.0), uniform(-1.0, 1.0)),
    "Students": (student(3.0), student(5.0, 1.0, 2.0)),
    "Cauchy over normal": (student(1.0), normal(0.0, 1.0)),
    "humps": (on_line(TWO_HUMPS), normal(0.0, 1.5)),
}


@pytest.mark.parametrize("name", LINES)
def test_level_crossings_against_a_composite_rule(name):
    target, draft = LINES[name]
    marks = [law.landmarks() for law in (target, draft)] + [law.knots() for law in (target, draft)]
    edges = np.concatenate(
        [np.linspace(a, b, 150) for a, b in pairwise(np.unique(np.concatenate(marks)))]
    )
    half = np.diff(edges)[:, None] / 2
    nodes, weights = np.polynomial.legendre.leggauss(10)
    points = (edges[:-1, None] + half * (1 + nodes)).reshape(-1)
    log_p, log_q = target.log_density(points), draft.log_density(points)
    log_caps = np.array([-4.0, -0.5, 0.0, 0.7, 2.0])
    expected = [
        float((half * weights).reshape(-1) @ np.exp(np.minimum(log_p, log_q + log_cap)))
        for log_cap in log_caps
    ]
    found = np.exp(LineRatio(target, draft).log_capped(log_caps))
    np.testing.assert_allclose(found, expected, rtol=0, atol=3e-9)


@pytest.mark.parametrize("dimension", [1, 2, 3, 16, 1000])
@pytest.mark.parametrize("scale", [1.001, 1.1, 1.7, 20.0])
def test_contour_against_chi_square_at_every_cap(dimension, scale):
    log_caps = np.array([-6.0, -3.0, -1.0, -0.1, 0.0, 0.1, 1.0, 2.0])
    law = gaussian_ratio(Gaussian(np.zeros(dimension)), Gaussian(np.zeros(dimension), scale**2))
    # r > c inside the ball of this squared radius
    radius = np.maximum((2 * dimension * math.log(scale) - 2 * log_caps) / (1 - scale**-2), 0.0)
    inside = np.exp(log_caps) * chi2.cdf(radius / scale**2, dimension)
    np.testing.assert_allclose(
        np.exp(law.log_capped(log_caps)), chi2.sf(radius, dimension) + inside, rtol=1e-11, atol=0
    )


@pytest.mark.parametrize("distance", [0.1, 1.0, 5.0, 40.0])
def test_contour_against_the_closed_form_of_a_shift(distance):
    log_caps = np.array([-30.0, -3.0, -0.2, 0.0, 0.1, 3.0, 10.0])
    contour = GaussianRatio(np.ones(1), np.array([distance**2]), np.ones(1))
    closed = gaussian_ratio(Gaussian(distance), Gaussian(0.0))
    np.testing.assert_allclose(
        contour.log_capped(log_caps), closed.log_capped(log_caps), rtol=0, atol=2e-13
    )


@pytest.mark.parametrize("gap", [1e-6, 1e-9, 1e-12, 1e-15])
@pytest.mark.parametrize("shift", [0.0, 0.5, 3.0])
@pytest.mark.parametrize("dimension", [1, 100])
def test_covariances_that_nearly_agree(gap, shift, dimension):
    """C moves by at most the total variation of the two targets, ``sqrt(KL / 2)``."""
    log_caps = np.array([-3.0, -1e-3, 0.0, 1e-3, 1.0])
    mean = np.zeros(dimension)
    mean[0] = shift
    near = gaussian_ratio(Gaussian(mean, (1 + gap) ** 2), Gaussian(np.zeros(dimension)))
    same = gaussian_ratio(Gaussian(mean), Gaussian(np.zeros(dimension)))
    moved = np.abs(near.capped(np.exp(log_caps)) - same.capped(np.exp(log_caps)))
    assert np.all(moved <= 1.001 * gap * math.sqrt(dimension / 2) + 1e-14)


def test_contour_against_level_crossings_for_normals_of_two_spreads():
    log_caps = np.linspace(-6, 3, 40)
    contour = gaussian_ratio(Gaussian(0.3, 4.0), Gaussian(1.0, 0.49))
    crossings = LineRatio(normal(0.3, 2.0), normal(1.0, 0.7))
    np.testing.assert_allclose(
        contour.log_capped(log_caps), crossings.log_capped(log_caps), rtol=0, atol=1e-12
    )
    assert contour.divergence() == pytest.approx(crossings.divergence(), rel=1e-12)
    assert contour.reverse_divergence() == pytest.approx(crossings.reverse_divergence(), rel=1e-12)
    assert contour.log_harmonic() == pytest.approx(crossings.log_harmonic(), abs=1e-12)
    assert contour.log_affinity(-0.3) == pytest.approx(crossings.log_affinity(-0.3), abs=1e-11)


@pytest.mark.parametrize("seed", range(4))
def test_full_covariances_against_a_sum_over_the_plane_and_turned(seed):
    rng = np.random.default_rng(seed)
    roots = rng.normal(size=(2, 2, 2))
    above, below = (root @ root.T + 0.3 * np.eye(2) for root in roots)
    mean = rng.normal(size=2)
    target, draft = Gaussian(mean, above), Gaussian(np.zeros(2), below)
    grid = np.linspace(-13, 13, 1301)
    points = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2)
    p, q = np.exp(target.log_density(points)), np.exp(draft.log_density(points))
    found = float(gaussian_ratio(target, draft).capped(1.5))
    cell = (grid[1] - grid[0]) ** 2
    assert found == pytest.approx(np.minimum(p, 1.5 * q).sum() * cell, abs=5e-6)
    turn = ortho_group.rvs(2, random_state=seed)
    turned = gaussian_ratio(
        Gaussian(turn @ mean, _symmetric(turn @ above @ turn.T)),
        Gaussian(np.zeros(2), _symmetric(turn @ below @ turn.T)),
    )
    assert float(turned.capped(1.5)) == pytest.approx(found, abs=1e-13)


@pytest.mark.parametrize("dimension", [5, 40])
def test_turning_both_laws_changes_nothing(dimension):
    rng = np.random.default_rng(dimension)
    roots = rng.normal(size=(2, dimension, dimension)) / math.sqrt(dimension)
    above, below = (root @ root.T + np.eye(dimension) for root in roots)
    mean = rng.normal(size=dimension) / math.sqrt(dimension)
    turn = ortho_group.rvs(dimension, random_state=dimension)
    found = [
        overlap(
            ContinuousPair(
                Gaussian(q @ mean, _symmetric(q @ above @ q.T)),
                Gaussian(np.zeros(dimension), _symmetric(q @ below @ q.T)),
            )
        ).value
        for q in (np.eye(dimension), turn)
    ]
    assert 0.05 < found[0] < 0.95
    assert found[1] == pytest.approx(found[0], abs=1e-12)


def _symmetric(matrix: np.ndarray) -> np.ndarray:
    return 0.5 * (matrix + matrix.T)


@pytest.mark.parametrize(
    ("target", "draft"),
    [
        (Gaussian([0.0, 1.0]), Gaussian([0.5, -0.3])),
        (Gaussian(np.zeros(64)), Gaussian(np.zeros(64), 1.69)),
        (Gaussian(np.zeros(3), 1.96), Gaussian([1.1, 0.0, 0.0])),
        (laplace(1.3, 0.8), laplace(0.0, 0.8)),
        (exponential(2.5), exponential(1.0)),
        (uniform(0.0, 2.0), uniform(1.0, 4.0)),
    ],
)
def test_closed_forms_against_the_ratio_law(target, draft):
    pair = ContinuousPair(target, draft)
    closed = closed_form_overlap(pair)
    assert closed is not None
    assert overlap(pair).method == f"closed form: {closed.name}"
    if isinstance(target, Gaussian):
        law = gaussian_ratio(target, draft)
        law = GaussianRatio(law.variances, law.shifts, law.counts)  # never the closed form
    else:
        law = ratio_law(pair)
    assert float(law.log_capped(0.0)) == pytest.approx(closed.log, abs=1e-12)


@pytest.mark.parametrize("gap", [1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7])
@pytest.mark.parametrize("distance", [0.5, 3.0])
@pytest.mark.parametrize("dimension", [1, 16])
def test_isotropic_gaussians_whose_spreads_nearly_agree(dimension, distance, gap):
    mean = np.zeros(dimension)
    mean[0] = distance
    wide, narrow = Gaussian(mean, 1 + gap), Gaussian(np.zeros(dimension))
    expected = _isotropic(dimension, distance, 1 + gap)
    for pair in (ContinuousPair(wide, narrow), ContinuousPair(narrow, wide)):
        assert exact_overlap(pair).value == pytest.approx(expected, rel=1e-12)


def _isotropic(dimension: int, distance: float, variance: float) -> float:
    """Overlap of ``N(m, v I)``, v > 1, and ``N(0, I)``: along the shift, the wider one is smaller
    between the roots of a quadratic, whose last term the squared length across it moves."""
    across, weights = np.zeros(1), np.ones(1)
    if dimension > 1:
        nodes, weights = roots_genlaguerre(60, (dimension - 3) / 2)
        across, weights = 2 * nodes, weights / weights.sum()

    def between(across: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        bend, slope = 1 - 1 / variance, 2 * distance / variance
        level = bend * across - dimension * math.log(variance) - distance**2 / variance
        half = -0.5 * (slope + np.sqrt(slope**2 - 4 * bend * level))
        return half / bend, level / half

    spread = math.sqrt(variance)
    low, high = between(variance * across)
    inside = ndtr((high - distance) / spread) - ndtr((low - distance) / spread)
    low, high = between(across)
    return float(weights @ (inside + ndtr(low) + ndtr(-high)))


def test_spreads_a_rounding_apart():
    for dimension in (1, 16):
        near = Gaussian(np.zeros(dimension), math.nextafter(1.0, 2.0))
        found = exact_overlap(ContinuousPair(near, Gaussian(np.zeros(dimension))))
        assert found.value == pytest.approx(1.0, abs=1e-13)


def test_ten_thousand_dimensions():
    rng = np.random.default_rng(0)
    size = 10_000
    shifted = overlap(ContinuousPair(Gaussian(np.zeros(size)), Gaussian(np.full(size, 0.5))))
    # 2 Phi(-25) by its continued fraction
    assert shifted.log == pytest.approx(math.log(2) + norm.logcdf(-25.0), abs=1e-10)
    scaled = gaussian_ratio(Gaussian(np.zeros(size)), Gaussian(np.zeros(size), 1.01))
    radius = size * math.log(1.01) / (1 - 1 / 1.01)
    outside, inside = chi2.logsf(radius, size), chi2.logcdf(radius / 1.01, size)
    assert float(scaled.log_capped(0.0)) == pytest.approx(np.logaddexp(outside, inside), abs=1e-9)
    # tails below float64
    wide = ContinuousPair(Gaussian(np.zeros(size)), Gaussian(np.zeros(size), 3.0))
    assert overlap(wide).log == pytest.approx(_log_scaled(size, 3.0), abs=1e-8)
    uneven = gaussian_ratio(
        Gaussian(rng.normal(size=size) / 5, rng.uniform(0.5, 2, size)), Gaussian(np.zeros(size))
    )
    log = float(uneven.log_capped(0.0))
    assert math.exp(log) == 0 or log < -100
    assert 2 * uneven.log_affinity(0.5) - math.log(2) < log < uneven.log_affinity(0.5)


def _log_scaled(dimension: int, variance: float) -> float:
    """Log overlap of ``N(0, I_d)`` and ``N(0, v I_d)`` by incomplete gamma functions, 60 digits."""
    import mpmath

    with mpmath.workdps(60):
        half, v = mpmath.mpf(dimension) / 2, mpmath.mpf(variance)
        radius = half * mpmath.log(v) / (1 - 1 / v)
        outside = mpmath.gammainc(half, radius, regularized=True)
        inside = mpmath.gammainc(half, 0, radius / v, regularized=True)
        return float(mpmath.log(outside + inside))


class Hidden(Mixture):
    """A Gaussian whose family the library is not told, so that nothing exact is known."""

    def __init__(self, gaussian: Gaussian) -> None:
        super().__init__([1.0], [gaussian])


def test_monte_carlo_interval_holds_the_overlap_and_not_a_wrong_one():
    pair = ContinuousPair(Hidden(Gaussian(np.zeros(3))), Hidden(Gaussian([1.0, 0.0, 0.0])))
    with pytest.raises(InputError, match="rng"):
        overlap(pair)
    with pytest.raises(NoRatioLaw, match="mixture"):
        ratio_law(pair)
    # missed with probability at most 1e-7
    found = overlap(pair, np.random.default_rng(0), draws=1 << 19, error_rate=1e-7)
    exact = 2 * norm.cdf(-0.5)
    assert not found.exact
    assert found.low < exact < found.high
    assert not found.low < exact + 0.01 < found.high


def test_torch_distributions_are_recognised():
    import torch

    known = torch.distributions
    spread = torch.tensor([[2.0, 0.5], [0.5, 1.0]], dtype=torch.float64)
    full = from_torch(known.MultivariateNormal(torch.zeros(2, dtype=torch.float64), spread))
    assert isinstance(full, Gaussian)
    points = full.sample(50, np.random.default_rng(0))
    expected = known.MultivariateNormal(torch.zeros(2, dtype=torch.float64), spread)
    np.testing.assert_allclose(
        full.log_density(points), expected.log_prob(torch.from_numpy(points)), rtol=1e-12
    )
    other = from_torch(known.Beta(torch.tensor(2.0, dtype=torch.float64), 3.0))
    assert isinstance(other, TorchDensity)
    assert other.log_density([1.5, 0.5]).tolist() == [-np.inf, pytest.approx(math.log(1.5))]
    state = torch.get_rng_state()
    other.sample(5, np.random.default_rng(1))
    assert torch.equal(state, torch.get_rng_state())
    with pytest.raises(ShapeError, match="Independent"):
        from_torch(known.Normal(torch.zeros(3), torch.ones(3)))
    with pytest.raises(InputError, match="discrete"):
        from_torch(known.Poisson(torch.tensor(3.0)))


@pytest.mark.parametrize("decay", [1.0, 0.9, 0.5])
def test_path_laws_of_linear_chains(decay):
    """A drift gap of 0.2 noise units over 100 steps; the whole path is one Gaussian."""
    steps, gap = 100, 0.2
    paths = [linear_path(Gaussian(0.0), [(decay, drift, 1.0)] * steps) for drift in (gap, 0.0)]
    whole = overlap(ContinuousPair(*paths))
    assert whole.value == pytest.approx(2 * norm.cdf(-gap * math.sqrt(steps) / 2), abs=1e-10)
    chains = [
        DiffusionChain(Gaussian(0.0), [lambda x, b=drift: decay * x + b] * steps, np.ones(steps))
        for drift in (gap, 0.0)
    ]
    noise = np.random.default_rng(0).standard_normal((1, steps + 1, 1))
    ends = [chain.run(noise)[0, -1, 0] for chain in chains]
    assert ends[0] - ends[1] == pytest.approx(gap * sum(decay**t for t in range(steps)))
    points = chains[0].sample(20, np.random.default_rng(1))
    np.testing.assert_allclose(
        chains[0].log_density(points), paths[0].log_density(points), rtol=1e-9
    )


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: Gaussian([0.0], [-1.0]), "expected numbers > 0"),
        (lambda: Gaussian([0.0, 0.0], [[1.0, 2.0], [2.0, 1.0]]), "positive definite"),
        (lambda: Gaussian([0.0, 0.0], [[1.0, 0.2], [0.1, 1.0]]), "symmetric"),
        (lambda: Gaussian([0.0, 0.0], [1.0, 1.0, 1.0]), "2 coordinates"),
        (lambda: Mixture([0.5, 0.6], [Gaussian(0.0)] * 2), "sums to"),
        (lambda: ContinuousPair(Gaussian(0.0), Gaussian([0.0, 0.0])), "one space"),
        (lambda: ContinuousPair(Gaussian(0.0), norm(0, 1)), "expected a Density"),
        (lambda: Gaussian(0.0).sample(3, 0), "seed"),
        (lambda: Gaussian([0.0, 0.0]).log_density(np.zeros((4, 3))), "expected"),
        (lambda: student(0.0), "expected numbers > 0"),
        (lambda: linear_path(Gaussian([0.0, 3.0]), [(0.5, 1.0, 0.75)]), "expected one"),
    ],
)
def test_bad_input_is_named(make, complaint):
    with pytest.raises(InputError, match=complaint):
        make()


@pytest.mark.parametrize("share", [1e-3, 1e-6, 1e-9, 1e-12, 1e-18, 1e-300])
def test_exponentials_whose_rates_are_far_apart(share):
    """``g (1 - log g)``, and ``(g log g)^2 / 2`` less, from the expansion in g."""
    found = overlap(ContinuousPair(exponential(1.0), exponential(1 / share)))
    logarithm = math.log(share)
    expected = share * (1 - logarithm) - (share * logarithm) ** 2 / 2
    rounding = 1e-12 + 2 * (share * logarithm) ** 2
    assert found.value == pytest.approx(expected, rel=rounding)


def test_scales_that_float64_runs_out_of_are_refused():
    for one, two in (
        (laplace(0.0, 1e200), laplace(0.0, 2e200)),
        (student(3.0, 0.0, 1e160), student(3.0, 1.0, 1e160)),
    ):
        with pytest.raises(InputError, match="rescale the pair"):
            overlap(ContinuousPair(one, two))


def test_what_a_density_was_made_of_may_change_afterwards():
    import torch

    mean, covariance = np.zeros(2), np.array([[2.0, 0.5], [0.5, 1.0]])
    first = Gaussian(mean, covariance)
    mean += 1
    covariance *= 3
    expected = Gaussian(np.zeros(2), [[2.0, 0.5], [0.5, 1.0]])
    assert overlap(ContinuousPair(first, expected)).value == pytest.approx(1)
    with pytest.raises(ValueError, match="read-only"):
        first.mean[0] = 1
    moving = torch.zeros(2, dtype=torch.float64)
    normals = torch.distributions.Normal(moving, torch.ones(2, dtype=torch.float64))
    before = from_torch(torch.distributions.Independent(normals, 1))
    moving.add_(1)
    assert before.mean.tolist() == [0, 0]


def test_torch_draws_leave_the_generators_of_gpus_alone(monkeypatch):
    import torch

    def seeded(*_):
        raise AssertionError

    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded)
    density = TorchDensity(torch.distributions.Gumbel(0.0, 1.0))
    one, two = (density.sample(3, np.random.default_rng(seed)) for seed in (0, 1))
    assert (one != two).any()
