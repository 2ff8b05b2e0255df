"""Expected tokens and seconds of a speculative step, and the speed-up over plain decoding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

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


def expected_tokens_along(first: np.ndarray, later: np.ndarray, length: int) -> float:
    """Tokens a step emits, averaged over where in a text it starts.

    With acceptances logged at each position of a text, a step that starts at t emits
    ``1 + a_t + a_t b_{t+1} + a_t b_{t+1} b_{t+2} + ..``. Acceptances of one text are correlated
    (easy tokens come in runs), which the product of their means would miss.

    Args:
        first: ``(n,)`` a_t, acceptance of the first level of drafts at t.
        later: ``(n,)`` b_t, acceptance of a level below.
        length: levels.

    Raises:
        InputError: lengths that differ, or a text shorter than the drafts.

    >>> expected_tokens_along(np.array([1.0, 0.0]), np.array([1.0, 0.0]), 1)
    1.5
    """
    if first.shape != later.shape or first.size < max(length, 1):
        raise InputError(
            f"`first`, `later` have shapes {first.shape}, {later.shape}; expected one (n,) with "
            f"n >= {max(length, 1)}"
        )
    if not length:
        return 1.0
    starts = first.size - length + 1
    reach, total = np.ones(starts), np.ones(starts)
    for level in range(length):
        rates = first if level == 0 else later
        reach = reach * rates[level : level + starts]
        total += reach
    return float(total.mean())


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


def speedup(tokens: float, step: StepCost, plain: StepCost) -> float:
    """Tokens a second over those of plain decoding, which emits one token a step.

    >>> speedup(2.0, StepCost(draft=0.5, verify=1.0), StepCost(draft=0.0, verify=1.0)).hex()
    '0x1.5555555555555p+0'
    """
    return tokens * plain.total / step.total


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
