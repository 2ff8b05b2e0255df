"""The two schedules of a block, and which of them the published speed-ups follow."""

import numpy as np
import pytest

from spectheory.cost.continuous import (
    best_block,
    implied_cost,
    in_place_speed_up,
    truncating_speed_up,
)
from spectheory.errors import InputError
from spectheory.literature.reported import reported


@pytest.mark.parametrize("acceptance", [0.0, 0.3, 0.8, 1.0])
@pytest.mark.parametrize("block", [1, 4, 16])
def test_truncating_speed_up_by_summing_over_the_first_rejection(acceptance, block):
    # i drafts stand and the next falls: i + 1 tokens; all stand: block + 1.
    tokens = sum((i + 1) * acceptance**i * (1 - acceptance) for i in range(block))
    tokens += (block + 1) * acceptance**block
    assert truncating_speed_up(acceptance, block, 0.2) == pytest.approx(tokens / (1 + 0.2 * block))


def published():
    pairs = {}
    for row in reported("wang2024continuous")["speed_up"].value:
        cell = int(row["block"]), float(row["acceptance"]), float(row["speed_up"])
        pairs.setdefault(row["pair"], []).append(cell)
    return pairs


@pytest.mark.parametrize("pair", ["L/B", "H/B", "H/L"])
def test_published_speed_ups_follow_the_schedule_that_ignores_acceptance(pair):
    cells = published()[pair]
    costs = [implied_cost(speed, block) for block, _, speed in cells]
    # One cost a pair explains all four blocks; the printed speed-ups are rounded to 0.005.
    assert np.ptp(costs) < 0.035
    cost = float(np.mean(costs))
    for block, acceptance, speed in cells:
        assert in_place_speed_up(block, cost) == pytest.approx(speed, rel=0.06)
        # At the printed acceptance the causal schedule would have been a slow-down.
        assert truncating_speed_up(acceptance, block, cost) < 0.6 < 1 < speed


def test_best_block_is_the_best():
    for acceptance in (0.2, 0.5, 0.9, 0.97):
        for cost in (0.01, 0.1, 0.4):
            best = best_block(acceptance, cost)
            top = truncating_speed_up(acceptance, best, cost)
            assert all(truncating_speed_up(acceptance, g, cost) <= top for g in range(1, 65))


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: truncating_speed_up(1.2, 4, 0.1), "acceptance"),
        (lambda: truncating_speed_up(0.5, 0, 0.1), "block"),
        (lambda: in_place_speed_up(4, -0.1), "cost"),
        (lambda: implied_cost(0.0, 4), "speed_up"),
        (lambda: implied_cost(5.0, 4), "speed_up"),
        (lambda: implied_cost(np.nan, 4), "speed_up"),
    ],
)
def test_bad_input(call, name):
    with pytest.raises(InputError, match=f"`{name}`"):
        call()
