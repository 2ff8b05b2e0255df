"""The list coupling: the shared-noise run and the verdict are one joint law."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from spectheory.audit.sequential import audit_law
from spectheory.drafting.scheme import scheme
from spectheory.errors import InputError
from spectheory.verification.gumbel_list import GumbelList, shared_noise

P = np.array([0.4, 0.1, 0.3, 0.2])
Q = np.array([[0.1, 0.5, 0.3, 0.1], [0.25, 0.25, 0.25, 0.25], [0.6, 0.1, 0.1, 0.2]])
DRAWS = 60_000


@pytest.mark.parametrize("k", [1, 2, 3])
def test_joint_law_of_drafts_and_output_is_the_verdict(k):
    """False alarm 1e-6; a total-variation bias of 0.05 in the joint law is seen (V^(k+1) cells)."""
    uniforms = np.random.default_rng(k).random((DRAWS, k, 4))
    drafts, outputs = shared_noise(P, Q[None, :k], uniforms)
    tuples, probability = scheme("heterogeneous").law(Q[:k], k)
    joint = probability[:, None] * GumbelList().verdict(P[None], Q[None, :k], tuples).law()
    places = 4 ** np.arange(k)
    cells = np.zeros((4**k, 4))
    cells[tuples @ places] = joint
    found = (drafts @ places) * 4 + outputs
    assert not audit_law(found, cells.ravel(), 1e-6).biased
    # The test can see: swapping two output columns is caught.
    assert audit_law(found, cells[:, [1, 0, 2, 3]].ravel(), 1e-6).biased


def test_output_does_not_depend_on_the_drafter():
    uniforms = np.random.default_rng(0).random((2000, 2, 4))
    _, one = shared_noise(P, Q[0], uniforms)
    drafts, other = shared_noise(P, Q[2], uniforms)
    np.testing.assert_array_equal(one, other)
    assert len(np.unique(drafts)) == 4


@pytest.mark.parametrize("seed", range(20))
def test_one_draft_is_accepted_above_the_coupling_bound(seed):
    rng = np.random.default_rng(seed)
    p, q = rng.dirichlet(np.full(8, 0.5)), rng.dirichlet(np.full(8, 0.5))
    tv = np.abs(p - q).sum() / 2
    accepted = float(GumbelList().rates(p, q, 1).acceptance)
    assert (1 - tv) / (1 + tv) - 1e-12 <= accepted <= 1 - tv + 1e-12
    expected = sum(1 / np.maximum(p / p[y], q / q[y]).sum() for y in range(8))
    assert accepted == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("k", [2, 4])
def test_list_matching_bound(k):
    """P(match) >= sum_j k / (sum_i max(p_i/p_j, q_i/q_j) + (k - 1) / p_j)."""
    rng = np.random.default_rng(k)
    for _ in range(20):
        p, q = rng.dirichlet(np.ones(6)), rng.dirichlet(np.ones(6))
        bound = sum(k / (np.maximum(p / p[j], q / q[j]).sum() + (k - 1) / p[j]) for j in range(6))
        assert float(GumbelList().rates(p, q, k).acceptance) >= bound - 1e-12


@pytest.mark.parametrize(("size", "error"), [(5, 1e-10), (500, 1e-10), (2_000, 1e-8)])
@pytest.mark.parametrize("k", [2, 4, 8, 32])
def test_equal_laws_are_always_accepted(size, error, k):
    law = np.full(size, 1 / size)
    assert float(GumbelList().rates(law, law, k).acceptance) == pytest.approx(1, abs=error)


def test_tokens_that_are_seldom_drafted_count_together():
    """Half of the target on tokens with 1 / 1000 of it in the draft, 5e-9 each.

    Of these a draft is the output with chance 2 / (2 + 999) for k = 2, as ``exp(-t (M - 1))`` is
    all there is of it; of the others, whose ratio is the lowest, always.
    """
    n = 100_000
    target = np.full(2 * n, 0.5 / n)
    draft = np.repeat([5e-4 / n, (1 - 5e-4) / n], n)
    found = float(GumbelList().rates(target, draft, 2).acceptance)
    assert found == pytest.approx(0.5 + 0.5 * 2 / 1001, abs=1e-8)


def test_laws_of_sharp_drafts_are_exact():
    laws = [[Fraction(n, 10_000) for n in row] for row in ((5000, 2500, 2500), (8749, 1, 1250))]
    target, draft = (np.array(law, dtype=object) for law in laws)
    rule = GumbelList()
    for drafts in ([0], [1], [2], [0, 0], [1, 0], [2, 1]):
        exact = rule.verdict(target, draft, np.array(drafts)).law().astype(float)
        found = rule.verdict(target.astype(float), draft.astype(float), np.array(drafts)).law()
        assert np.abs(found - exact).max() < 1e-12


def test_a_draft_of_hardly_any_probability_wins():
    """Its clock of the target is at 0 for all that a float can tell."""
    target, draft = np.array([0.5, 0.5]), np.array([1.0, 1e-310])
    for drafts in ([1], [1, 0], [0, 1]):
        law = GumbelList().verdict(target, draft, np.array(drafts)).law()
        assert np.abs(law - [0, 1]).max() < 1e-12


def test_clocks_of_24_bits_are_refused():
    with pytest.raises(InputError, match="`uniforms` has dtype float32; expected float64"):
        shared_noise(P, Q[0], np.zeros((1, 4), np.float32))
