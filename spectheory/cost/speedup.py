"""Expected tokens and seconds of a speculative step, and the speed-up over plain decoding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq

from spectheory.errors import InputError

PHASES = ("draft", "verify", "sample", "host")
"""Parts of a step: drafting, the target's pass, the rule, everything else."""


def expected_tokens(acceptance: Sequence[float]) -> float:
    """Tokens a step emits, ``1 + sum_j prod_{i <= j} a_i``, from conditional acceptances.

    Args:
        acceptance: a_i, the chance that draft i is accepted if all before it are.

    Raises:
        InputError: a number outside [0, 1].

    Reference: leviathan2023fast, equation 1, for a constant acceptance.

    >>> expected_tokens([0.5, 0.5])
    1.75
    """
    rates = np.asarray(acceptance, dtype=np.float64)
    if rates.size and not (rates.min() >= 0 and rates.max() <= 1):
        raise InputError(f"`acceptance` holds {rates.min()} to {rates.max()}; expected [0, 1]")
    return 1 + float(np.cumprod(rates).sum())


def starts_along(first: np.ndarray, later: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """``(n,)`` chance that a step of a decoder starts at each position of a text.

    A step at t jumps to t + 1 if its first draft is rejected, which it is with 1 - a_t, to t + 2
    with a_t (1 - b_{t+1}), and so on. Their sum is the expected number of steps that the text
    takes, and a sum weighted with what a step costs there is the expected cost. Where drafts do
    well few steps start: a mean over positions counts such places too often.

    Args:
        first: ``(n,)`` a_t, acceptance of the first level of drafts at t.
        later: ``(n,)`` b_t, acceptance of a level below.
        levels: ``(n,)`` integers, levels drafted by a step at t. As in a decoder that emits exactly
            n tokens, no more than n - 1 - t are.

    Raises:
        InputError: arrays of different lengths, or an acceptance outside [0, 1].

    >>> perfect, none = np.ones(3), np.zeros(3)
    >>> starts = starts_along(np.append(perfect, none), np.append(perfect, none), np.full(6, 2))
    >>> starts.tolist()
    [1.0, 0.0, 0.0, 1.0, 1.0, 1.0]
    """
    if not len(first) == len(later) == len(levels) > 0:
        raise InputError(
            f"`first`, `later`, `levels` have {len(first)}, {len(later)}, {len(levels)} entries; "
            "expected one of each for every position"
        )
    for name, rates in (("first", first), ("later", later)):
        if not (np.min(rates) >= 0 and np.max(rates) <= 1):
            raise InputError(f"`{name}` holds {np.min(rates)} to {np.max(rates)}; expected [0, 1]")
    size = len(first)
    starts = [1.0] + [0.0] * (size - 1)
    for start in range(size):
        reach, rates = starts[start], first
        last = min(start + int(levels[start]), size - 1)
        for place in range(start, last):
            starts[place + 1] += reach * (1 - float(rates[place]))
            reach, rates = reach * float(rates[place]), later
        if last + 1 < size:
            starts[last + 1] += reach
    return np.array(starts)


@dataclass(frozen=True)
class StepCost:
    """Seconds of one step, by phase.

    Attributes:
        draft, verify, sample, host: see `PHASES`.
    """

    draft: float
    verify: float
    sample: float = 0.0
    host: float = 0.0

    @property
    def total(self) -> float:
        """Seconds of the step."""
        return self.draft + self.verify + self.sample + self.host

    def towards(self, other: StepCost, share: float) -> StepCost:
        """On the straight line to another cost: 0 gives this one, 1 the other, 2 goes beyond.

        >>> StepCost(draft=1.0, verify=2.0).towards(StepCost(draft=2.0, verify=2.0), 3).draft
        4.0
        """
        return StepCost(
            *(
                getattr(self, phase) + share * (getattr(other, phase) - getattr(self, phase))
                for phase in PHASES
            )
        )


def speedup(tokens: float, step: StepCost, plain: StepCost) -> float:
    """Tokens a second over those of plain decoding, which emits one token a step.

    >>> speedup(2.0, StepCost(draft=0.5, verify=1.0), StepCost(draft=0.0, verify=1.0)).hex()
    '0x1.5555555555555p+0'
    """
    return tokens * plain.total / step.total


def acceptance_for(
    ratio: float, steps: Sequence[StepCost], plain: StepCost
) -> tuple[float, int] | None:
    """The lowest acceptance, the same at every level, that gives a speed-up, and with what length.

    Args:
        ratio: speed-up over plain decoding.
        steps: cost of a step with one level of drafts, with two, ..
        plain: cost of a step of plain decoding.

    Returns:
        The acceptance and the number of levels; None if no acceptance is enough.

    >>> free = [StepCost(draft=0.0, verify=1.0)] * 2
    >>> acceptance, levels = acceptance_for(1.75, free, StepCost(draft=0.0, verify=1.0))
    >>> round(acceptance, 12), levels
    (0.5, 2)
    """
    found = []
    for levels, step in enumerate(steps, 1):
        tokens = ratio * step.total / plain.total
        if tokens <= 1:
            found.append((0.0, levels))
        elif tokens <= levels + 1:
            root = brentq(_missing, 0.0, 1.0, args=(levels, tokens), xtol=1e-14)
            found.append((float(root), levels))
    return min(found, default=None)


def _missing(acceptance: float, levels: int, tokens: float) -> float:
    return expected_tokens([acceptance] * levels) - tokens


class Gap(NamedTuple):
    """Where a measured speed-up parts from the predicted one, as factors that multiply.

    Attributes:
        ratio: measured speed-up over predicted.
        tokens: measured tokens a step over predicted.
        plain: measured time of a plain step over predicted.
        phases: ``exp`` of each phase's share in the change of the step's time: above 1, the phase
            took less time than predicted.
    """

    ratio: float
    tokens: float
    plain: float
    phases: dict[str, float]


def split_gap(
    tokens: tuple[float, float],
    step: tuple[StepCost, StepCost],
    plain: tuple[StepCost, StepCost],
) -> Gap:
    """Split measured over predicted speed-up into tokens, plain step, and each phase.

    The step's time changes by a sum over phases; the logarithm of its factor is shared out in
    proportion to each phase's change. ``ratio = tokens * plain * product of phases``.

    Args:
        tokens, step, plain: (predicted, measured) tokens a step, cost of a step, and of a plain
            step.

    >>> one, slow = StepCost(0.0, 1.0), StepCost(0.0, 2.0)
    >>> gap = split_gap((2.0, 2.0), (one, slow), (one, one))
    >>> gap.ratio, gap.phases["verify"]
    (0.5, 0.5)
    """
    predicted, measured = step
    change = measured.total - predicted.total
    # log(b / a) / (b - a) is the reciprocal of their logarithmic mean; 1 / a where they agree.
    scale = np.log(measured.total / predicted.total) / change if change else 1 / predicted.total
    phases = {
        phase: float(np.exp(-scale * (getattr(measured, phase) - getattr(predicted, phase))))
        for phase in PHASES
    }
    ratio = speedup(tokens[1], measured, plain[1]) / speedup(tokens[0], predicted, plain[0])
    return Gap(ratio, tokens[1] / tokens[0], plain[1].total / plain[0].total, phases)


def tree_size(branching: Sequence[int]) -> int:
    """Draft tokens of a tree in which no draw repeats a token.

    >>> tree_size((2, 1, 1)), tree_size((2, 2))
    (6, 6)
    """
    widths = np.cumprod(np.asarray(branching, dtype=np.int64))
    return int(widths.sum())


def mean_cost(seconds: Mapping[str, float], steps: int) -> StepCost:
    """Measured seconds of many steps, as the cost of one."""
    return StepCost(**{phase: seconds.get(phase, 0.0) / max(steps, 1) for phase in PHASES})
