"""Expected tokens and passes of steps along texts, against counts made by hand."""

import numpy as np
import pytest

pytest.importorskip("torch")

from spectheory.cli.bench_cells import Choice
from spectheory.cli.bench_plan import along, nodes_along
from spectheory.decoding.foresight import LoggedAcceptance


def logged(first, later, offered, alike):
    return LoggedAcceptance(
        np.array(first, float), np.array(later, float), np.array(offered), np.array(alike)
    )


def test_copies_share_a_chain_and_other_drafts_do_not():
    text = logged([1] * 4, [1] * 4, [9, 1, 9, 9], [True, False, False, False])
    assert nodes_along(text, (3, 1, 1)).tolist() == [3, 3, 3, 0]  # the text ends
    assert nodes_along(text, (3,)).tolist() == [1, 3, 3, 0]


def test_a_step_costs_what_it_reads():
    # Places 0 to 2: a copy of two tokens, all accepted. Place 3 drafts in vain, as does place 4.
    text = logged(
        [1, 1, 1, 0, 0, 0], [1, 1, 1, 0, 0, 0], [2, 2, 2, 1, 1, 0], [True] * 3 + [False] * 3
    )
    read = []
    tokens, seconds = along([text], (4, 1), lambda size: read.append(size) or 1.0 + size)
    assert tokens == 6 / 4  # steps start at 0, 3, 4 and 5
    assert seconds == ((1 + 2) + (1 + 4) + (1 + 4) + (1 + 0)) / 4
    assert set(read) == {0, 2, 4}


@pytest.mark.parametrize(
    ("rule", "scheme"),
    [
        ("rejection", "iid"),
        ("block", "iid"),
        ("optimal_iid", "iid"),
        ("greedy_optimal", "greedy"),
        ("recursive_without_replacement", "without_replacement"),
    ],
)
def test_drafts_are_drawn_as_the_rule_wants_them(rule, scheme):
    assert Choice("lookup", rule, 3, 1.0).scheme == scheme
