"""optimal_plan: every plan attains the linear program's value and has the target as its law."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from spectheory import errors
from spectheory.drafting.scheme import scheme, schemes
from spectheory.transport import linear_program
from spectheory.transport.optimal_plan import optimal_plan
from spectheory.transport.problem import TransportProblem

RNG = np.random.default_rng(11)
PAIRS = [(RNG.dirichlet(np.full(5, 0.6)), RNG.dirichlet(np.full(5, 0.6), 3)) for _ in range(4)]


def draft_for(key, laws, k):
    return laws[:k] if schemes()[key].per_slot else laws[0]


@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("key", list(schemes()))
@pytest.mark.parametrize("pair", range(4))
def test_plan_is_lossless_and_attains_the_linear_program(key, k, pair):
    target, laws = PAIRS[pair]
    draft = draft_for(key, laws, k)
    plan = optimal_plan(target, draft, k, key)
    law = scheme(key).law(draft, k)
    verdict = plan.verdict(law.tuples)
    output = np.sum(verdict.law() * law.probability[:, None], axis=0)
    np.testing.assert_allclose(output, target, atol=1e-12, rtol=0)
    accepted = np.sum(verdict.acceptance() * law.probability)
    best = linear_program.solve(TransportProblem.of(target, law)).value
    assert float(accepted) == pytest.approx(float(best), abs=2e-9)
    assert float(plan.value) == pytest.approx(float(np.sum(plan.accepted_mass)), abs=1e-12)
    again = plan.accepted_mass + (1 - plan.value) * plan.residual
    np.testing.assert_allclose(again, target, atol=1e-12, rtol=0)


def test_plan_of_a_law_that_no_scheme_has():
    """Two copies of one draft: only the program knows it, and k = 1 bounds it."""
    target, laws = PAIRS[0]
    single = scheme("iid").law(laws[0], 1)
    law = type(single)(np.repeat(single.tuples, 2, axis=1), single.probability)
    plan = optimal_plan(target, law)
    assert float(plan.value) == pytest.approx(np.minimum(target, laws[0]).sum(), abs=1e-9)


def test_exact_plan_is_exact():
    target = np.array([Fraction(n, 10) for n in (3, 4, 3)], dtype=object)
    draft = np.array([Fraction(n, 10) for n in (6, 3, 1)], dtype=object)
    assert optimal_plan(target, draft, 2).value == Fraction(89, 100)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((), {}, errors.InputError, "`k` is missing"),
        ((2, "greedy"), {"bins": 64}, errors.InputError, "`bins` is 64"),
        ((2, "sorted"), {}, errors.UnknownName, "no draft scheme `sorted`"),
        ((6, "distinct"), {}, errors.SupportError, "`k` is 6"),
    ],
)
def test_bad_calls(arguments, options, error, message):
    target, laws = PAIRS[0]
    with pytest.raises(error, match=message):
        optimal_plan(target, laws[0], *arguments, **options)
