"""Speed-up of continuous speculative decoding under two schedules of a block.

Costs are in units of one target step; a draft step costs ``c`` of it.
"""

from __future__ import annotations

import numpy as np

from spectheory.errors import InputError


def truncating_speed_up(acceptance: float, block: int, cost: float) -> float:
    """Tokens a target step where a block ends at its first rejection: the causal schedule.

    ``S = (1 - a^(g + 1)) / ((1 - a) (1 + c g))``: the drafts up to the first rejection, the
    replacement or the bonus token, over g draft steps and one target step. It assumes that tokens
    stand independently with probability a.

    Args:
        acceptance: a, in [0, 1].
        block: g >= 1.
        cost: c >= 0.

    Raises:
        InputError: values out of range.

    Reference: leviathan2023fast.

    >>> truncating_speed_up(0.8, 4, 0.1)
    2.401142857142857
    """
    _check(acceptance, block, cost)
    tokens = block + 1.0 if acceptance == 1 else (1 - acceptance ** (block + 1)) / (1 - acceptance)
    return tokens / (1 + cost * block)


def in_place_speed_up(block: int, cost: float) -> float:
    """Tokens a target step where every drafted place is final: ``S = g / (1 + c g)``.

    Rejected tokens are replaced where they stand and nothing is dropped, so the acceptance does not
    enter, and the law of the output is no longer the target's. Published speed-ups of
    wang2024continuous follow it.

    Raises:
        InputError: values out of range.

    >>> in_place_speed_up(4, 0.1)
    2.857142857142857
    """
    _check(0.0, block, cost)
    return block / (1 + cost * block)


def implied_cost(speed_up: float, block: int) -> float:
    """The c at which `in_place_speed_up` gives ``speed_up``: ``1 / S - 1 / g``.

    Raises:
        InputError: a speed-up that no cost gives: not in (0, g].

    >>> round(implied_cost(in_place_speed_up(8, 0.37), 8), 12)
    0.37
    """
    _check(0.0, block, 0.0)
    if not 0 < speed_up <= block:
        raise InputError(f"`speed_up` is {speed_up}; blocks of {block} give at most {block}")
    return 1 / speed_up - 1 / block


def best_block(acceptance: float, cost: float, most: int = 64) -> int:
    """The block with the highest `truncating_speed_up`; 1 if none is above another.

    >>> best_block(0.8, 0.05), best_block(0.25, 0.4)
    (8, 1)
    """
    speeds = [truncating_speed_up(acceptance, block, cost) for block in range(1, most + 1)]
    return int(np.argmax(speeds)) + 1


def _check(acceptance: float, block: int, cost: float) -> None:
    if not 0 <= acceptance <= 1:
        raise InputError(f"`acceptance` is {acceptance}; expected a probability")
    if block < 1 or not 0 <= cost < np.inf:
        raise InputError(f"`block` is {block} and `cost` {cost}; expected >= 1 and >= 0")
