"""The exponential race against enumeration in exact arithmetic."""

from fractions import Fraction

import numpy as np
import pytest

from spectheory.distributions import from_logits
from spectheory.drafting.scheme import exact_prefix_containment, scheme
from spectheory.kernels.race import Race, prefix_bases, prefix_containment

LAW = scheme("without_replacement")


def exact(draft: np.ndarray, k: int, order: np.ndarray) -> np.ndarray:
    rational = np.array([Fraction(float(x)) for x in draft])
    return exact_prefix_containment(LAW, rational / rational.sum(), k, order).astype(float)


def laws() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    peaked = np.full(6, 1e-12)
    peaked[2] = 0.999999
    peaked[4] = 1 - 0.999999 - 4e-12
    gone = np.array([0.0, 0.5, 0.0, 0.25, 0.25, 0.0])
    scales = 10.0 ** -np.arange(0, 18, 3)
    return [
        *(rng.dirichlet(np.ones(size)) for size in (1, 2, 3, 4, 5, 6)),
        *(rng.dirichlet(np.full(5, 0.1)) for _ in range(4)),
        np.full(5, 0.2),
        np.array([0.1, 0.1, 0.3, 0.3, 0.2]),
        peaked / peaked.sum(),
        gone,
        scales / scales.sum(),
        from_logits(np.array([0.0, -7.05, -7.2]), temperature=0.01),  # down to e^-720
        np.array([1e-310, 1.0, 3e-320]),
    ]


@pytest.mark.parametrize("draft", laws())
def test_every_k_and_order_against_enumeration(draft):
    rng = np.random.default_rng(1)
    for k in range(1, int((draft > 0).sum()) + 1):
        for order in [np.argsort(draft), np.argsort(-draft), rng.permutation(len(draft))]:
            truth = exact(draft, k, order)
            np.testing.assert_allclose(
                prefix_containment(draft[order], k), truth, rtol=0, atol=1e-13
            )
            base = Race.of(draft, k).base(order)
            np.testing.assert_allclose(np.cumsum(base[order]), truth, rtol=0, atol=1e-13)
            assert np.all(base >= 0)
            assert np.all(base[draft == 0] == 0)
            assert np.all(base[order][: k - 1] == 0)  # fewer than k tokens hold no k drafts


def test_several_k_in_one_pass_and_batches():
    rng = np.random.default_rng(2)
    drafts = rng.dirichlet(np.full(7, 0.5), size=(2, 3))
    together = prefix_bases(drafts, [1, 3, 7])
    assert together.shape == (3, 2, 3, 7)
    for i, k in enumerate((1, 3, 7)):
        for row in np.ndindex(2, 3):
            alone = prefix_bases(drafts[row], [k])[0]
            np.testing.assert_allclose(together[i][row], alone, rtol=0, atol=1e-14)
    np.testing.assert_allclose(together[0], drafts, rtol=1e-12)


@pytest.mark.parametrize("k", [2, 40, 300])
def test_large_vocabulary_sums_to_one(k):
    rng = np.random.default_rng(3)
    draft = rng.dirichlet(np.full(3000, 0.05))
    base = Race.of(draft, k).base(rng.permutation(3000))
    assert base.sum() == pytest.approx(1, abs=1e-12)


def test_two_drafts_in_closed_form():
    """Q(H) = sum over i in H of q_i (q(H) - q_i) / (1 - q_i), at a size no enumeration reaches."""
    rng = np.random.default_rng(4)
    draft = rng.dirichlet(np.full(2000, 0.2))
    mass, odds = np.cumsum(draft), draft / (1 - draft)
    closed = mass * np.cumsum(odds) - np.cumsum(odds * draft)
    np.testing.assert_allclose(prefix_containment(draft, 2), closed, rtol=0, atol=1e-12)
