"""What an audit found: evidence, and the bias that it could have missed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from spectheory.audit.bounds import Bound

MEANING = {
    "draft_ratio": "output leans towards the draft, or away from it",
    "log_probability": "output too sharp or too flat; tail lost",
    "rank_uniformity": "rank of the output not uniform",
    "pearson": "relative frequencies off, rare tokens pooled",
    "valiant_valiant": "frequencies off, weighted by p^(2/3)",
    "collisions": "frequencies of likely tokens off",
    "acceptance": "drafts not accepted as often as stated",
}


@dataclass(frozen=True)
class TestEvidence:
    """One test of the battery.

    Attributes:
        name: which.
        log_e: natural logarithm of its e-value now.
        log_e_peak: the highest it has been.
    """

    __test__ = False

    name: str
    log_e: float
    log_e_peak: float


@dataclass(frozen=True)
class AuditReport:
    """Evidence on whether a sampler's output law is the target's.

    Attributes:
        alpha: declared false-alarm rate, however often one looked.
        draws: draws used.
        impossible: draws of tokens that the target gives probability 0; one settles it.
        log_e: natural logarithm of the mean e-value over tests, now.
        log_e_peak: the highest it has been; the null is rejected from ``log(1 / alpha)`` on.
        peaked_at: the draw after which that was.
        tests: evidence by test.
        bounds: what the bias is at most, by direction; all hold together with probability
            ``1 - alpha``.
        trace: ``(draws, log_e, log_e of each test)`` at times evenly apart in logarithm.
        positions: of the target, or None where the audit was not told of them.
        drawn_from: at how many of them draws were made; nothing is said about the others.
    """

    alpha: float
    draws: int
    impossible: int
    log_e: float
    log_e_peak: float
    peaked_at: int
    tests: tuple[TestEvidence, ...]
    bounds: tuple[Bound, ...]
    trace: tuple[tuple[float, ...], ...]
    positions: int | None = None
    drawn_from: int | None = None

    @property
    def p_bound(self) -> float:
        """Upper bound on the p-value; valid at any stopping time."""
        return 0.0 if self.impossible else math.exp(-max(0.0, self.log_e_peak))

    @property
    def biased(self) -> bool:
        """Whether the evidence reaches the declared rate."""
        return self.p_bound <= self.alpha

    @property
    def only_acceptance(self) -> bool:
        """Whether the evidence is on acceptance alone: the tokens may be the target's all the same.

        A mean over tests reaches 1 / alpha only where one of them does.
        """
        others = [one.log_e_peak for one in self.tests if one.name != "acceptance"]
        silent = all(peak < -math.log(self.alpha) for peak in others)
        return self.biased and not self.impossible and silent

    def to_dict(self) -> dict[str, Any]:
        """A document of plain numbers, strings and lists, without the trace."""
        found = asdict(self)
        del found["trace"]
        verdict = {"biased": self.biased, "only_acceptance": self.only_acceptance}
        return verdict | {"p_bound": self.p_bound} | found

    def __str__(self) -> str:
        width = max(len(one.name) for one in self.tests)
        lines = [
            self._verdict(),
            *self._positions(),
            "e-values, now and at their highest (the mean over tests decides):",
            *(
                f"  {one.name:{width}}  {_e_value(one.log_e):>9}  {_e_value(one.log_e_peak):>9}  "
                f"{MEANING[one.name]}"
                for one in sorted(self.tests, key=lambda one: -one.log_e_peak)
            ),
            f"bias by direction{self._averaged()} (all bounds hold with probability "
            f"{1 - self.alpha:.6g}):",
            *(
                f"  {bound.direction:{width}}  seen {bound.seen:.2%}, at most {bound.upper:.2%} "
                f"in {bound.unit}: {bound.meaning}"
                for bound in self.bounds
            ),
        ]
        if not self.biased:
            lines.append(
                "No finite number of draws shows that there is no bias: smaller ones than these, "
                "and ones in other directions, can have been missed. Nor is it tested whether "
                "draws depend on each other: that is for the audit of a stream."
            )
        return "\n".join(lines)

    def _positions(self) -> Iterator[str]:
        if self.positions is None or self.drawn_from is None or self.positions == 1:
            return
        if self.drawn_from == self.positions:
            yield f"Draws were made at each of the {self.positions:,} positions."
            return
        yield (
            f"Draws were made at {self.drawn_from:,} of the {self.positions:,} positions; nothing "
            "is said about the others."
        )

    def _averaged(self) -> str:
        several = self.positions is not None and self.positions > 1
        return ", signed and averaged over draws" if several else ""

    def _verdict(self) -> str:
        if self.impossible:
            return (
                f"Biased: {self.impossible} of {self.draws:,} draws are tokens that the target "
                "gives probability 0."
            )
        evidence = f"e-value {_e_value(self.log_e_peak)}, p <= {self.p_bound:.2g}"
        if self.biased:
            what = "Biased"
            if self.only_acceptance:
                what = "Acceptance is not as stated, though the tokens may be right"
            return (
                f"{what}: {evidence} after draw {self.peaked_at:,} of {self.draws:,}; declared "
                f"false-alarm rate {self.alpha:g}."
            )
        return (
            f"No evidence of bias in {self.draws:,} draws: {evidence}; {1 / self.alpha:g} would "
            f"have been needed for the declared false-alarm rate {self.alpha:g}."
        )


def _e_value(log_e: float) -> str:
    """An e-value in three digits; its logarithm may be beyond what a float holds."""
    if abs(log_e) < 6:
        return f"{math.exp(log_e):.3g}"
    exponent = math.floor(log_e / math.log(10))
    return f"{math.exp(log_e - exponent * math.log(10)):.2f}e{exponent:+d}"
