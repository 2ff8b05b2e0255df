"""Speculative futures of a series have the target forecaster's joint law.

Every statistical test has a false-alarm rate of at most 1e-6.
"""

import numpy as np
import pytest
from scipy.stats import norm

from spectheory.audit.continuous import audit_transform
from spectheory.continuous.path_forecast import (
    LinearForecaster,
    ThresholdForecaster,
    speculative_forecast,
)
from spectheory.errors import InputError, ShapeError
from spectheory.literature.reported import reported

N, HORIZON = 20_000, 5


@pytest.fixture(scope="module")
def lynx():
    return np.log10(reported("elton1942ten")["lynx"].value)


@pytest.fixture(scope="module")
def pair(lynx):
    return ThresholdForecaster.fit(lynx, order=2, delay=2), LinearForecaster.fit(lynx, order=2)


def rosenblatt(forecaster, history):
    """Each value through the distribution function it has given the ones before it."""

    def transform(paths):
        values = np.column_stack([np.tile(history[-4:], (len(paths), 1)), paths])
        columns = []
        for t in range(paths.shape[1]):
            law = forecaster.kernel(values[:, : 4 + t])
            columns.append(norm.cdf(values[:, 4 + t], law.mean[:, 0], law.scale[:, 0]))
        return np.column_stack(columns)

    return transform


def test_fits_recover_what_made_the_series():
    rng = np.random.default_rng(0)
    truth = ThresholdForecaster(
        LinearForecaster(np.array([1.0, 0.5, 0.0]), 0.5),
        LinearForecaster(np.array([-1.0, 0.0, 0.4]), 0.8),
        threshold=0.3,
        delay=1,
    )
    series = np.zeros(20_002)
    for t in range(2, len(series)):
        law = truth.kernel(series[None, t - 2 : t])
        series[t] = law.mean[0, 0] + law.scale[0, 0] * rng.standard_normal()
    found = ThresholdForecaster.fit(series, order=2, delay=1)
    assert abs(found.threshold - 0.3) < 0.05
    # Five standard errors of least squares with 10,000 values a regime.
    assert np.abs(found.low.coefficients - truth.low.coefficients).max() < 0.05
    assert np.abs(found.high.coefficients - truth.high.coefficients).max() < 0.08
    assert found.high.scale == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize("block", [1, 4])
def test_futures_have_the_targets_joint_law(pair, lynx, block):
    target, draft = pair
    made = speculative_forecast(target, draft, lynx, N, HORIZON, np.random.default_rng(1), block)
    found = audit_transform(made.paths, rosenblatt(target, lynx))
    assert not found.biased, found
    # The audit sees the draft's own futures, so it would see them here.
    alone = speculative_forecast(draft, draft, lynx, N, HORIZON, np.random.default_rng(2), block)
    assert audit_transform(alone.paths, rosenblatt(target, lynx)).biased


def test_counts(pair, lynx):
    target, draft = pair
    made = speculative_forecast(target, draft, lynx, N, HORIZON, np.random.default_rng(3), block=4)
    replaced = made.tested - made.accepted
    assert (made.accepted <= made.tested).all()
    assert (made.cycles >= replaced).all()
    bonus = HORIZON - made.accepted - replaced
    assert ((bonus >= 0) & (bonus <= made.cycles - replaced)).all()
    assert ((made.proposals > 0) == (replaced > 0)).all()


def test_first_value_is_accepted_with_the_overlap(pair, lynx):
    target, draft = pair
    p, q = (law.kernel(lynx[None, -4:]) for law in pair)
    x = np.linspace(-4, 10, 400_001)
    densities = [norm.pdf(x, law.mean[0, 0], law.scale[0, 0]) for law in (p, q)]
    overlap = float(np.minimum(*densities).sum() * (x[1] - x[0]))
    made = speculative_forecast(target, draft, lynx, 400_000, 1, np.random.default_rng(4))
    error = 5 * np.sqrt(overlap * (1 - overlap) / 400_000)
    assert 0.5 < overlap < 0.99
    assert abs(made.accepted.mean() - overlap) <= error


def test_bad_input(pair, lynx):
    target, draft = pair
    rng = np.random.default_rng(0)
    with pytest.raises(ShapeError, match="`history`"):
        speculative_forecast(target, draft, lynx[:1], 5, 5, rng)
    with pytest.raises(InputError, match="`horizon`"):
        speculative_forecast(target, draft, lynx, 5, 0, rng)
    with pytest.raises(ShapeError, match="`series`"):
        LinearForecaster.fit(lynx[:6], 3)
    for scale in (0.0, -1.0, np.nan):
        with pytest.raises(InputError, match="`scale`"):
            LinearForecaster(np.array([0.0, 1.0]), scale)
    with pytest.raises(InputError, match="`delay`"):
        ThresholdForecaster.fit(lynx, order=2, delay=3)
