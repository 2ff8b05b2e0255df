"""The optimum on a real model's laws: certificates and plans at V = 49,152 and V = 4,000."""

from __future__ import annotations

import numpy as np
import pytest

from spectheory.decoding.prompts import prompts
from spectheory.distributions import from_logits, overlap
from spectheory.transport.iid_value import iid_optimum
from spectheory.transport.optimal_acceptance import optimal_acceptance
from spectheory.transport.priority_mixture import PriorityMixture
from spectheory.transport.score_kernel import score_kernel_plan
from spectheory.verification.rule import rule

pytestmark = pytest.mark.models
ROWS = (20, 40, 60)


@pytest.fixture(scope="module")
def laws(smollm2):
    """Target and early-exit draft laws at a few positions of a real prompt."""
    tokens = smollm2.encode(prompts("humaneval", 1)[0])[:64]
    target, draft = smollm2.logits(tokens), smollm2.early_exit(28).logits(tokens)
    return [(from_logits(target[t]), from_logits(draft[t])) for t in ROWS]


@pytest.mark.parametrize("k", [1, 2, 4, 8])
def test_optimum_is_certified_and_above_every_rule(laws, k):
    for target, draft in laws:
        found = iid_optimum(target, draft, k)
        assert abs(float(found.gap)) <= 1e-10
        for key in ("recursive", "k_seq", "naive", "gumbel_list"):
            accepted = float(rule(key).rates(target, draft, k).acceptance)
            assert accepted <= float(found.value) + 1e-8
        if k == 1:
            assert float(found.value) == pytest.approx(float(overlap(target, draft)), abs=1e-12)


def test_plan_has_the_target_as_its_law(laws):
    for target, draft in laws:
        plan = score_kernel_plan(target, draft, 4)
        law = plan.accepted_mass + (1 - plan.value) * plan.residual
        np.testing.assert_allclose(law, target, atol=1e-12, rtol=0)
        assert plan.value == pytest.approx(float(iid_optimum(target, draft, 4).value), abs=1e-9)


@pytest.mark.parametrize("row", [0, 1, 2])
def test_mixture_without_replacement_reaches_its_gap_at_four_thousand_tokens(laws, row):
    target, draft = laws[row]
    kept = np.argsort(-(target + draft))[:4_000]
    p, q = target[kept] / target[kept].sum(), draft[kept] / draft[kept].sum()
    mixture = PriorityMixture.solve(p, q, 4, "without_replacement", gap=1e-3)
    assert float(mixture.gap) <= 1e-3


@pytest.mark.parametrize("scheme", ["without_replacement", "distinct", "greedy"])
def test_dependent_drafts_are_certified(laws, scheme):
    target, draft = laws[0]
    found = optimal_acceptance(target, draft, 4, scheme)
    assert bool(found.certified)
    assert float(found.gap) <= 1e-9
