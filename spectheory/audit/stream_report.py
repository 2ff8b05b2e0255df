"""What a stream audit found: evidence by stratum and score, and what it could have missed."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from spectheory.audit.bounds import Bound
from spectheory.audit.stream_scores import MEANINGS, SCALES

SHOWN = 6
"""Tests, and bounds, that the text names; the document has all."""


@dataclass(frozen=True)
class StreamReport:
    """Evidence on a stream of emitted tokens.

    Attributes:
        alpha: declared false-alarm rate; tokens and lengths have half each.
        tokens: tokens audited.
        steps: verification steps.
        impossible: tokens that the target gives probability 0 at their place.
        log_e_peak: highest logarithm of the mean e-value over tests of tokens.
        peaked_at: the token after which that was.
        tests: ``(name, highest log e-value)`` of each test, the strongest first.
        bounds: what the mean of each fixed score is off by at most, over the tokens that it speaks
            about; all hold together with probability ``1 - alpha``.
        length_log_e_peak: the same for tokens a step, or None if no step told its mean.
        length_excess: tokens a step over their mean, or None.
        trace: at times evenly apart in logarithm, tokens and log e-values then: the mean over tests
            of tokens, tokens a step, and each of ``tests`` in their order.
    """

    alpha: float
    tokens: int
    steps: int
    impossible: int
    log_e_peak: float
    peaked_at: int
    tests: tuple[tuple[str, float], ...]
    bounds: tuple[Bound, ...]
    length_log_e_peak: float | None
    length_excess: float | None
    trace: tuple[tuple[float, ...], ...]

    @property
    def p_bound(self) -> float:
        """Upper bound on the p-value of the tokens' law; valid at any stopping time."""
        return 0.0 if self.impossible else min(1.0, 2 * math.exp(-max(0.0, self.log_e_peak)))

    @property
    def biased(self) -> bool:
        """Whether the tokens' law is not the target's, at the declared rate."""
        return self.p_bound <= self.alpha

    @property
    def length_p_bound(self) -> float | None:
        """The same for the number of tokens a step."""
        if self.length_log_e_peak is None:
            return None
        return min(1.0, 2 * math.exp(-max(0.0, self.length_log_e_peak)))

    @property
    def length_off(self) -> bool:
        """Whether steps emit more or fewer tokens than stated: no bias, but not that rule."""
        return self.length_p_bound is not None and self.length_p_bound <= self.alpha

    def to_dict(self) -> dict[str, Any]:
        """A document of plain numbers, strings and lists, without the trace."""
        found = asdict(self)
        del found["trace"]
        return {
            "biased": self.biased,
            "p_bound": self.p_bound,
            "length_off": self.length_off,
            "length_p_bound": self.length_p_bound,
        } | found

    def __str__(self) -> str:
        lines = [self._verdict(), "strongest evidence (log e-values at their highest):"]
        for name, peak in self.tests[:SHOWN]:
            lines.append(f"  {name}: {peak:.1f}; {MEANINGS[name.rpartition(': ')[2]]}")
        lines.append(self._lengths())
        if not self.biased:
            lines.append(
                f"largest shifts not ruled out (all hold with probability {1 - self.alpha:g}):"
            )
            lines += [
                f"  {one.direction}: seen {one.seen:.4f}, at most {one.upper:.4f} {one.unit}"
                for one in sorted(self.bounds, key=_share, reverse=True)[:SHOWN]
            ]
            lines.append(
                "No finite stream shows that there is no bias: smaller shifts than these, and ones "
                "in other directions, can have been missed."
            )
        return "\n".join(lines)

    def _verdict(self) -> str:
        if self.impossible:
            return (
                f"Biased: {self.impossible} of {self.tokens:,} tokens have probability 0 under the "
                "target at their place."
            )
        if self.biased:
            return (
                f"Biased: p <= {self.p_bound:.2g} after token {self.peaked_at:,} of "
                f"{self.tokens:,}; declared false-alarm rate {self.alpha:g}."
            )
        return (
            f"No evidence of bias in {self.tokens:,} tokens of {self.steps:,} steps: "
            f"p <= {self.p_bound:.2g}; declared false-alarm rate {self.alpha:g}."
        )

    def _lengths(self) -> str:
        if self.length_excess is None:
            return "tokens a step: not told what they should be."
        verdict = "off" if self.length_off else "no evidence against them"
        return (
            f"tokens a step: {self.length_excess:+.4f} over their mean, p <= "
            f"{self.length_p_bound:.2g}; {verdict}."
        )


def _share(bound: Bound) -> float:
    """A bound as a share of its score's range: nats and probabilities do not compare."""
    return bound.upper / SCALES[bound.direction.rpartition(": ")[2]]
