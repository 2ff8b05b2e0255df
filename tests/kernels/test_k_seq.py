"""The compiled slow-down of K-SEQ against the definition's bisection, and against its equation."""

import numpy as np
import pytest

from spectheory.kernels.k_seq import slow_down
from spectheory.verification.k_seq import KSeq


@pytest.mark.parametrize("k", [1, 2, 4, 9])
@pytest.mark.parametrize("alpha", [0.1, 0.3, 5.0])
def test_slow_down_is_the_bisection_s(k, alpha):
    rng = np.random.default_rng(k)
    pairs = rng.dirichlet(np.full(300, alpha), size=(20, 2))
    for p, q in pairs:
        found = slow_down(p, q, k)
        assert found == pytest.approx(float(KSeq().slowdown(p, q, k)[0]), rel=1e-12)
        beta = np.minimum(p / found, q).sum()
        assert found * beta == pytest.approx(1 - (1 - beta) ** k, abs=1e-13)


@pytest.mark.parametrize("k", [1, 3])
def test_laws_that_agree_or_share_nothing_need_no_slow_down(k):
    p, q = np.array([0.5, 0.5, 0.0, 0.0]), np.array([0.0, 0.0, 0.25, 0.75])
    for one, other in ((p, p), (p, q)):
        found = slow_down(one, other, k)
        assert found == pytest.approx(float(KSeq().slowdown(one, other, k)[0]), rel=1e-12)
