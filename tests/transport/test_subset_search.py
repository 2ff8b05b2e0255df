"""Branch and bound over subsets against the list of all subsets."""

import itertools

import numpy as np
import pytest

from spectheory.transport.subset_search import search_subsets
from tests.transport.instances import instances, zipf_pair


def truth(target, draft):
    masks = np.array(list(itertools.product((0, 1), repeat=len(target))))
    return 1 + np.min(masks @ target - np.prod(masks @ draft.T, axis=1))


@pytest.mark.parametrize("most_k", [2, 3, 5])
def test_it_meets_brute_force_and_its_bounds_hold(most_k):
    cases = instances(300, 41, schemes=("heterogeneous",), most_tokens=9, most_k=most_k)
    for case in cases:
        found = search_subsets(case.target, case.draft)
        expected = truth(case.target, case.draft)
        assert found.upper == pytest.approx(expected, abs=1e-12), case
        assert found.lower <= expected + 1e-12, case
        assert found.upper - found.lower <= 1e-9, case
        inside = found.witness
        bound = 1 + case.target[inside].sum() - np.prod(case.draft[:, inside].sum(axis=1))
        assert found.upper == pytest.approx(bound, abs=1e-12)


def test_equal_slots_are_the_iid_case():
    target, draft = zipf_pair(3000, 1.0, 1.0, seed=1)
    order = np.argsort(target / draft)
    slack = np.cumsum(target[order]) - np.cumsum(draft[order]) ** 3
    found = search_subsets(target, np.stack([draft] * 3))
    assert found.upper == pytest.approx(1 + min(slack.min(), 0), abs=1e-12)


def test_order_of_the_slots_does_not_matter():
    target, draft = zipf_pair(2000, 1.5, 1.0, seed=2, slots=3)
    values = [
        search_subsets(target, draft[list(s)]).upper for s in itertools.permutations(range(3))
    ]
    assert max(values) - min(values) <= 1e-9


@pytest.mark.parametrize(("slots", "most_boxes"), [(2, 40), (4, 100)])
def test_few_boxes_suffice_at_a_real_vocabulary(slots, most_boxes):
    target, draft = zipf_pair(32_000, 1.0, 1.0, seed=slots, slots=slots)
    found = search_subsets(target, draft)
    assert found.upper - found.lower <= 1e-9
    assert found.boxes <= most_boxes


def test_a_stopped_search_still_brackets_the_optimum():
    target, draft = zipf_pair(500, 1.0, 1.0, seed=3, slots=4)
    full = search_subsets(target, draft)
    for most_boxes in range(1, full.boxes):
        part = search_subsets(target, draft, most_boxes=most_boxes)
        assert part.lower <= full.upper + 1e-12
        assert part.upper >= full.lower - 1e-12
