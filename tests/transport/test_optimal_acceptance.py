"""The certified optimum against the linear program, all subsets and published numbers."""

from fractions import Fraction

import numpy as np
import pytest

from spectheory.distributions import from_logits
from spectheory.drafting.scheme import scheme
from spectheory.errors import InputError, ShapeError, TooLarge, VocabularyMismatch
from spectheory.transport import linear_program
from spectheory.transport.acceptance import Acceptance
from spectheory.transport.optimal_acceptance import least_subset, optimal_acceptance
from spectheory.transport.problem import TransportProblem
from spectheory.transport.subset_dual import optimal_value
from tests.transport.instances import SCHEMES, fractions, instances, least_bound, zipf_pair


@pytest.mark.slow
def test_value_equals_the_linear_program_on_a_thousand_instances():
    for case in instances(1000, seed=1):
        found = optimal_acceptance(case.target, case.draft, case.k, case.scheme)
        law = scheme(case.scheme).law(case.draft, case.k)
        plan = linear_program.solve(TransportProblem.of(case.target, law))
        assert found.value == pytest.approx(plan.value, abs=1e-9), case
        assert found.gap <= 1e-10 or case.scheme == "heterogeneous", case
        assert found.certified, case


def test_value_and_witness_meet_all_subsets():
    for case in instances(400, seed=2, most_tokens=5):
        found = optimal_acceptance(case.target, case.draft, case.k, case.scheme)
        law = scheme(case.scheme).law(case.draft, case.k)
        assert found.value == pytest.approx(least_bound(case.target, *law), abs=1e-12), case
        problem = TransportProblem.of(case.target, law)
        assert problem.bound(found.witness) == pytest.approx(found.value, abs=1e-12), case
        assert found.primal <= found.dual + 1e-12


def test_exact_arithmetic_leaves_no_gap():
    for case in instances(120, seed=3, most_tokens=5):
        target, draft = fractions(case.target), fractions(case.draft)
        found = optimal_acceptance(target, draft, case.k, case.scheme)
        law = scheme(case.scheme).law(draft, case.k)
        assert found.value == found.primal == found.dual == least_bound(target, *law), case
        assert found.gap == 0, case
        assert found.certified, case
        assert found.tolerance == 0


@pytest.mark.parametrize("k", [2, 4, 8])
@pytest.mark.parametrize("name", ["iid", "distinct", "greedy", "without_replacement"])
def test_primal_meets_dual_at_a_real_vocabulary(name, k):
    size = 128_256 if name == "iid" else 20_000
    found = optimal_acceptance(*zipf_pair(size, 0.7, 1.0, seed=k), k, name)
    assert found.gap <= 1e-10
    assert 0 < found.value < 1


def test_heterogeneous_drafts_at_a_real_vocabulary():
    target, draft = zipf_pair(128_256, 1.0, 1.0, seed=5, slots=2)
    found = optimal_acceptance(target, draft, 2, "heterogeneous")
    assert found.certified
    assert found.gap <= 1e-9
    inside = found.witness
    bound = 1 + target[inside].sum() - np.prod(draft[:, inside].sum(axis=1))
    assert found.value == pytest.approx(bound, abs=1e-12)
    mean = optimal_acceptance(target, draft[0], 1).value
    assert found.value > mean  # a second draft never hurts


def test_batches_broadcast_and_match_single_positions():
    rng = np.random.default_rng(4)
    target, draft = rng.dirichlet(np.ones(6), size=(3, 1)), rng.dirichlet(np.ones(6), size=2)
    for name in SCHEMES:
        laws = draft if name != "heterogeneous" else np.stack([draft, draft[::-1]], axis=-2)
        found = optimal_acceptance(target, laws, 2, name)
        assert found.value.shape == found.certified.shape == (3, 2)
        assert found.witness.shape == (3, 2, 6)
        for i in range(3):
            for j in range(2):
                one = optimal_acceptance(target[i, 0], laws[j], 2, name)
                assert found.value[i, j] == pytest.approx(one.value, abs=1e-12)
                assert np.array_equal(found.witness[i, j], one.witness)


def test_published_and_derived_numbers():
    third = Fraction(1, 3)
    uniform = np.array([third] * 3)
    # khisti2025multidraft, Figure 2 setting: uniform draft over three tokens, two drafts.
    for x, iid in ((Fraction(0), Fraction(8, 9)), (Fraction(1, 9), Fraction(1))):
        target = np.array([third, x, 1 - third - x])
        assert optimal_acceptance(target, uniform, 2).value == iid
    p, q = np.array([0.3, 0.4, 0.3]), np.array([0.6, 0.3, 0.1])
    assert optimal_acceptance(p, q, 2).value == pytest.approx(0.89, abs=1e-12)
    assert optimal_acceptance(p, q, 2, "greedy").value == pytest.approx(0.95, abs=1e-12)
    assert optimal_acceptance(p, q, 2, "without_replacement").value == pytest.approx(
        1 + 0.7 - (0.6 * 0.3 / 0.4 + 0.3 * 0.6 / 0.7), abs=1e-12
    )
    # chen2024sequoia cover example: (1, 0) against (1/2, 1/2).
    p, q = np.array([1.0, 0.0]), np.array([0.5, 0.5])
    for k in (1, 2, 5, 30):
        assert optimal_acceptance(p, q, k).value == pytest.approx(1 - 0.5**k, abs=1e-15)


def test_limits():
    q = np.array([0.5, 0.3, 0.2, 0.0])
    p = np.array([0.1, 0.2, 0.3, 0.4])
    assert optimal_acceptance(p, q, 1).value == pytest.approx(np.minimum(p, q).sum(), abs=1e-15)
    assert optimal_acceptance(p, q, 10_000).value == pytest.approx(0.6, abs=1e-12)  # p(supp q)
    assert optimal_acceptance(p, q, 3, "without_replacement").value == pytest.approx(0.6, abs=1e-12)
    for name in ("iid", "without_replacement", "distinct", "greedy"):
        found = optimal_acceptance(q, q, 2, name)
        assert found.value == pytest.approx(1, abs=1e-12)
        assert found.gap <= 1e-12
        apart = optimal_acceptance(np.array([0, 0, 0, 1.0]), q, 2, name)
        assert (apart.value, apart.primal) == (0, 0) or name == "greedy"
        one_token = optimal_acceptance(np.ones(1), np.ones(1), 1, name)
        assert one_token.value == 1


def test_a_target_that_hardly_wants_the_fixed_drafts():
    """p(T) is subnormal, so the accepted mass is that of rejection on the last slot's law."""
    p, q = np.array([1e-310, 1.0, 0.0]), np.array([0.6, 0.3, 0.1])
    found = optimal_acceptance(p, q, 2, "greedy")
    assert found.value == pytest.approx(0.3 / 0.4, abs=1e-15)
    assert found.primal == pytest.approx(0.3 / 0.4, abs=1e-15)
    assert found.certified


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("name", ["without_replacement", "distinct", "greedy"])
def test_a_sharply_tempered_draft_is_certified(name, k):
    """Its tuples' masses are no floats; the oracle enumerates them as Fractions."""
    for logits in ([0, -7.05, -7.2, -7.1], [-7.2, -7.1, -7.05, 0]):
        q = from_logits(np.array(logits, dtype=float), temperature=0.01)
        exact_q = np.array([Fraction(x) for x in q.tolist()])
        exact_q = exact_q / exact_q.sum()
        for p in ([0.2, 0.3, 0.4, 0.1], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.5, 0.5]):
            exact_p = np.array([Fraction(x) for x in p])
            exact_p = exact_p / exact_p.sum()
            wanted = optimal_acceptance(exact_p, exact_q, k, name)
            found = optimal_acceptance(np.array(p), q, k, name)
            assert found.certified
            assert found.value == pytest.approx(float(wanted.value), abs=1e-12)


def test_bounds_that_contradict_each_other_certify_nothing():
    found = Acceptance.between(0.9, 0.5, witness=None, tolerance=1e-9)
    assert not found.certified
    assert found.gap == pytest.approx(0.4)
    assert not Acceptance.between(Fraction(9, 10), Fraction(1, 2), None, tolerance=0).certified


def test_many_local_minima():
    """Slack of the prefixes goes up and down; the lowest dip is not next to either end."""
    size = 40
    draft = np.full(size, 1 / size)
    steps = np.where(np.arange(size) % 4 < 2, 0.1, 1.9) * (2 * np.arange(size) + 1)
    target = np.sort(steps) / steps.sum()
    found = optimal_acceptance(target, draft, 2)
    slack = np.cumsum(target) - (np.arange(1, size + 1) / size) ** 2
    assert found.value == pytest.approx(1 + min(slack.min(), 0), abs=1e-12)
    assert found.gap <= 1e-12


def test_heterogeneous_trap_of_the_mean_ratio_order():
    """Prefixes of the mean-ratio order stop at .98268; the optimum is .97140."""
    p = np.array([0.003, 0.068, 0.037, 0.891])
    q = np.array([[0.045, 0.035, 0.107, 0.814], [0.452, 0.163, 0.0, 0.385]])
    p, q = p / p.sum(), q / q.sum(axis=1, keepdims=True)
    assert optimal_value(p, q, 2, "heterogeneous") == pytest.approx(0.98268, abs=5e-6)
    found = optimal_acceptance(p, q, 2, "heterogeneous")
    assert found.value == pytest.approx(0.97140, abs=5e-6)
    assert found.certified


def test_a_sum_that_is_off_by_rounding_is_no_gap():
    target, draft = zipf_pair(1000, 1.0, 1.0, seed=9)
    found = optimal_acceptance(target * (1 + 5e-10), draft * (1 - 5e-10), 4)
    assert found.gap <= 1e-13
    single = optimal_acceptance(target.astype(np.float32), draft.astype(np.float32), 4)
    assert single.gap <= 1e-13
    assert single.value == pytest.approx(found.value, abs=1e-5)


def test_errors():
    q = np.array([0.5, 0.5])
    with pytest.raises(VocabularyMismatch):
        optimal_acceptance(np.ones(3) / 3, q, 2)
    with pytest.raises(InputError, match="`k` is 0"):
        optimal_acceptance(q, q, 0)
    with pytest.raises(ShapeError, match="one law a slot"):
        optimal_acceptance(q, q, 2, "heterogeneous")
    with pytest.raises(ShapeError, match="batch axes"):
        optimal_acceptance(np.ones((2, 2)) / 2, np.ones((3, 2)) / 2, 2)
    many = np.array([Fraction(1, 11)] * 11)
    with pytest.raises(TooLarge, match="Pass float64"):
        optimal_acceptance(many, many, 2)
    with pytest.raises(TooLarge, match="2\\^11"):
        least_subset(many, many[None, :])
