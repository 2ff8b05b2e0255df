"""The three solvers of the transport problem, against each other and against all subsets."""

from fractions import Fraction

import numpy as np
import pytest

from spectheory.drafting.scheme import DraftLaw, scheme
from spectheory.errors import (
    DistributionError,
    ImpossibleDraft,
    InputError,
    ShapeError,
    TooLarge,
)
from spectheory.transport import cone_program, linear_program, max_flow
from spectheory.transport.problem import TransportProblem
from tests.transport.instances import fractions, instances, least_bound


def output_law(plan, law):
    return np.sum(law.probability[:, None] * plan.verdict(law.tuples).law(), axis=0)


@pytest.mark.parametrize("solver", [linear_program, cone_program])
def test_numerical_solver_meets_all_subsets_and_is_lossless(solver):
    for case in instances(160, seed=11, most_tokens=5):
        law = scheme(case.scheme).law(case.draft, case.k)
        plan = solver.solve(TransportProblem.of(case.target, law))
        truth = least_bound(case.target, *law)
        assert plan.value == pytest.approx(truth, abs=1e-9), case
        assert plan.dual == pytest.approx(truth, abs=1e-12), case
        assert np.all(plan.accepted_mass <= case.target + 1e-15)
        np.testing.assert_allclose(output_law(plan, law), case.target, rtol=0, atol=1e-12)
        ladder = np.sum(law.probability * plan.verdict(law.tuples).ladder())
        assert ladder == pytest.approx(plan.value, abs=1e-12)
        assert plan.acceptance().certified


def test_maximum_flow_is_exact():
    for case in instances(80, seed=12, most_tokens=5):
        target, draft = fractions(case.target), fractions(case.draft)
        law = scheme(case.scheme).law(draft, case.k)
        plan = max_flow.solve(TransportProblem.of(target, law))
        assert plan.value == plan.dual == least_bound(target, *law), case
        assert np.all(output_law(plan, law) == target), case
        assert plan.acceptance().gap == 0
        numerical = linear_program.solve(
            TransportProblem.of(target.astype(float), (law.tuples, law.probability.astype(float)))
        )
        assert numerical.value == pytest.approx(float(plan.value), abs=1e-9)


def test_a_correlated_law_of_no_scheme():
    """Two drafts that always agree: one draft, whatever k says."""
    target = np.array([0.5, 0.3, 0.2])
    law = DraftLaw(np.array([[0, 0], [1, 1], [2, 2]]), np.array([0.2, 0.2, 0.6]))
    problem = TransportProblem.of(target, law)
    for solver in (linear_program, cone_program):
        plan = solver.solve(problem)
        assert plan.value == pytest.approx(0.6, abs=1e-9)
        np.testing.assert_allclose(output_law(plan, law), target, rtol=0, atol=1e-12)


def test_tuples_with_one_set_are_merged():
    law = DraftLaw(np.array([[0, 1], [1, 0], [1, 1]]), np.array([0.25, 0.25, 0.5]))
    problem = TransportProblem.of(np.array([0.5, 0.5]), law)
    assert problem.sets.tolist() == [[0, 1], [1, -1]]
    assert problem.mass.tolist() == [0.5, 0.5]


def test_an_overshooting_solver_is_trimmed_to_a_lossless_plan():
    from spectheory.transport.plan import TransportPlan

    law = scheme("iid").law(np.array([0.5, 0.5]), 2)
    problem = TransportProblem.of(np.array([0.9, 0.1]), law)
    rough = np.array([0.25 + 1e-7, 0.5, -1e-9, 0.25])  # over a set, over a token, below zero
    plan = TransportPlan.feasible(problem, rough, np.array([0.0, 1.0]))
    assert np.all(plan.accepted_mass <= problem.target)
    np.testing.assert_allclose(output_law(plan, law), problem.target, rtol=0, atol=1e-15)


def test_verdict_batches_over_drafts_and_takes_a_repeat_once():
    law = scheme("iid").law(np.array([0.5, 0.25, 0.25]), 3)
    plan = linear_program.solve(TransportProblem.of(np.array([0.2, 0.2, 0.6]), law))
    verdict = plan.verdict(np.array([[[0, 0, 1], [2, 2, 2]]]))
    assert verdict.accept.shape == (1, 2, 3)
    assert verdict.residual.shape == (1, 2, 3)
    assert verdict.masses()[0, 0, 1] == 0
    assert np.all(verdict.masses()[0, 1, 1:3] == 0)


def test_bad_input_is_named():
    law = scheme("iid").law(np.array([0.5, 0.5]), 2)
    half = np.array([Fraction(1, 2)] * 2)
    with pytest.raises(ShapeError, match="one position"):
        TransportProblem.of(np.ones((2, 2)) / 2, law)
    with pytest.raises(DistributionError, match="Did you pass logits"):
        TransportProblem.of(np.array([0.5, 0.7]), law)
    with pytest.raises(DistributionError, match="Fractions and the other floats"):
        TransportProblem.of(half, law)
    with pytest.raises(ImpossibleDraft, match="tokens 0 to 1"):
        TransportProblem.of(np.array([0.5, 0.5]), (np.array([[0, 2]]), np.ones(1)))
    problem = TransportProblem.of(np.array([0.5, 0.5]), law)
    with pytest.raises(InputError, match="linear_program"):
        max_flow.solve(problem)
    exact = TransportProblem.of(half, scheme("iid").law(half, 2))
    for solver in (linear_program, cone_program):
        with pytest.raises(InputError, match="max_flow"):
            solver.solve(exact)
    one_sided = linear_program.solve(
        TransportProblem.of(np.array([0.5, 0.5]), (np.array([[0, 0]]), np.ones(1)))
    )
    with pytest.raises(ImpossibleDraft, match="never proposes"):
        one_sided.verdict(np.array([1, 1]))


def test_size_guard_gives_the_count_and_another_solver(monkeypatch):
    problem = TransportProblem.of(np.ones(3) / 3, scheme("iid").law(np.ones(3) / 3, 2))
    for solver, other in ((linear_program, "PriorityMixture"), (cone_program, "linear_program")):
        monkeypatch.setattr(solver, "EDGE_LIMIT", 8)
        with pytest.raises(TooLarge, match=f"6 draft sets give 9 .*{other}"):
            solver.solve(problem)


def test_tokens_of_any_integer_type():
    """The largest token of a type is a token."""
    half = np.array([0.5, 0.5])
    target = np.zeros(128)
    target[[0, 127]] = 0.5
    for kind in (np.int8, np.uint8, np.uint16, np.int64):
        problem = TransportProblem.of(target, (np.array([[0], [127]], kind), half))
        assert problem.sets.tolist() == [[0], [127]]
        assert linear_program.solve(problem).value == pytest.approx(1)
    with pytest.raises(ImpossibleDraft, match="float64"):
        TransportProblem.of(target, (np.array([[0.0], [127.0]]), half))
