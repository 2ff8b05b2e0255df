"""Bins are ordered like the ratios and hold every token once."""

import numpy as np
import pytest

from spectheory.kernels.ratio_histogram import histogram, layout


@pytest.mark.parametrize("bins", [32, 64, 2048, 32768])
@pytest.mark.parametrize("k", [1, 2, 7, 1000])
def test_bins_hold_their_ratios(bins, k):
    rng = np.random.default_rng(bins + k)
    target = rng.dirichlet(np.full(5_000, 0.1))
    draft = rng.dirichlet(np.full(5_000, 0.1))
    target[:50], draft[25:75] = 0.0, 0.0
    target[80] = -0.0
    draft[90:100] = target[90:100]
    shift, base, edges = layout(k, bins)
    assert len(edges) == bins + 3
    assert np.all(np.diff(edges) > 0)
    assert edges[-2] > k
    bin_of, mass = np.empty(5_000, np.uint16), np.empty((bins + 3, 2))
    assert histogram(target, draft, shift, base, bin_of, mass) == 0
    proposed = draft > 0
    ratio = target[proposed] / draft[proposed]
    at = bin_of[proposed].astype(int)
    assert np.all((edges[at] <= ratio) & (ratio < edges[at + 1]))
    assert np.all(bin_of[~proposed] == bins + 2)
    for column, law in enumerate((target, draft)):
        expected = np.bincount(bin_of, weights=law, minlength=bins + 3)
        assert np.allclose(mass[:, column], expected, rtol=1e-12, atol=0)


def test_the_lowest_entry_is_reported():
    shift, base, edges = layout(2, 64)
    target, draft = np.random.default_rng(0).dirichlet(np.ones(1_000), size=2)
    bin_of, mass = np.empty(1_000, np.uint16), np.empty((len(edges), 2))
    target[3] = -0.0
    for place, lowest in ((draft, -0.25), (target, -0.5)):
        place[700] = lowest
        assert histogram(target, draft, shift, base, bin_of, mass) == lowest
