"""The audit of a stream: teacher-forces the target over tokens that follow each other.

Each emitted token is, under the null, a draw from the target's law given the text before it. So a
score that is centred under that law is a fair bet, in whatever context, without independence
between tokens, and by strata that are known before the token is: its row in the step, a step just
after a rejection, a bonus token, the batch size. Mistakes that couple one step to the next show
there and nowhere else.

How many tokens a step emits is tested apart, against its exact mean where the stream carries it: an
engine may emit the right law and still accept too little. The two tests share the false-alarm rate.

Reference: shafer2021testing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from spectheory.audit.bounds import Bound, deviation
from spectheory.audit.martingale import ROUNDING, TestMartingale
from spectheory.audit.stream_report import StreamReport
from spectheory.audit.stream_scores import (
    FIXED,
    LEARNT,
    MEANINGS,
    SCALES,
    STRATA,
    UNITS,
    LearntScores,
    fixed_scores,
    strata,
)
from spectheory.audit.stream_steps import Steps
from spectheory.errors import InputError, ShapeError

PIECE = 2_000_000
"""Probabilities that are scored at once."""


MOST_DRAFTS = 16
"""Drafts a step, at most, of an engine that says nothing about it."""

FIRST, STALE = 64, 16
"""Tokens before the first point of the trace; after that, one when they grew by 1 / 16."""


class StreamAudit:
    """Audit of emitted tokens against the law that each was to have.

    Memory does not grow with the number of tokens, only with that of requests. What is learnt from
    the steps of one `update` is bet on from the next one on.

    Args:
        alpha: false-alarm rate, however often one looks.
        most_drafts: the most that the engine ever drafts in a step. How many tokens a step emits is
            weighed against it, so it must be known beforehand; the nearer the truth, the sooner
            wrong lengths are seen.

    >>> from spectheory.audit.stream_steps import Steps
    >>> rng = np.random.default_rng(0)
    >>> law = np.tile([0.7, 0.3], (2_000, 1, 1))
    >>> tokens = rng.integers(0, 2, (2_000, 1))  # a fair coin is not that law
    >>> audit = StreamAudit(1e-3)
    >>> one, none = np.ones(2_000, int), np.zeros(2_000, int)
    >>> audit.update(Steps(np.arange(2_000), tokens, counts=one, drafted=none, target=law))
    >>> audit.report().biased
    True
    """

    def __init__(self, alpha: float, most_drafts: int = MOST_DRAFTS) -> None:
        if not 0 < alpha < 1:
            raise InputError(f"`alpha` is {alpha}; expected a rate in (0, 1)")
        if most_drafts < 1:
            raise InputError(f"`most_drafts` is {most_drafts}; expected 1 or more")
        self.alpha = alpha
        self.most_drafts = most_drafts
        names = [f"{stratum}: {score}" for stratum in STRATA for score in (*FIXED, *LEARNT)]
        self.tokens = TestMartingale(names)
        self.length = TestMartingale(["tokens a step"])
        self.steps = 0
        self.impossible = 0
        self._size: int | None = None
        self._learnt: LearntScores | None = None
        self._last: dict[int, int] = {}
        self._after: dict[int, int] = {}
        self._sums = np.zeros((len(STRATA), len(FIXED), 2))  # of scores, and of their squares
        self._counts = np.zeros((len(STRATA), len(FIXED)), dtype=np.int64)  # scores that spoke
        self._trace: list[list[float]] = []
        self._excess = np.zeros(2)  # of tokens a step over their mean, and the steps that told

    def update(self, steps: Steps) -> None:
        """Take in steps, in the order they happened.

        Raises:
            ShapeError: shapes that do not agree, or another vocabulary than before.
            InputError: means of tokens a step that are none, or more drafts than declared.
        """
        size = steps.check().target.shape[-1]
        self._check_lengths(steps)
        if self._size not in (None, size):
            raise ShapeError(f"`target` is over {size} tokens, earlier steps over {self._size}")
        if self._learnt is None:
            self._learnt = LearntScores(len(STRATA), size)
        self._size = size
        chunk = max(1, PIECE // (size * steps.tokens.shape[1]))
        for first in range(0, len(steps.tokens), chunk):
            rows = slice(first, first + chunk)
            self._take(steps.rows(rows))

    def _take(self, steps: Steps) -> None:
        before_step, after_step = self._past(steps)
        emitted = np.arange(steps.tokens.shape[1]) < steps.counts[:, None]
        step, row = np.nonzero(emitted)
        before = np.append(before_step[:, None], steps.tokens[:, :-1], axis=1)[emitted]
        tokens, target = steps.tokens[emitted], steps.target[emitted]
        drafted = steps.drafted[step]
        inside = strata(
            row,
            drafted,
            after_step[step],
            None if steps.batch is None else steps.batch[step],
        )
        possible = target[np.arange(len(tokens)), tokens] > 0
        self.impossible += int(np.count_nonzero(~possible))
        draft = None if steps.draft is None else steps.draft[emitted]
        fixed, speaks = fixed_scores(tokens, before, target, draft, row < drafted)
        fixed[~possible] = 0.0  # one impossible token settles it; no score speaks about it
        speaks &= possible[:, None]
        self.tokens.update(self._scores(tokens, before, target, inside, fixed, speaks))
        self.steps += len(steps.tokens)
        if steps.expected is not None:
            excess = steps.counts - steps.expected
            self.length.update(excess / self.most_drafts)
            self._excess += excess.sum(), len(excess)
        last = int(self._trace[-1][0]) if self._trace else 0
        if self.tokens.draws >= last + max(FIRST, last // STALE):
            self._trace.append(self._point())

    def _point(self) -> list[float]:
        """Tokens, and logarithms of wealth: mean over tests, tokens a step, each test."""
        wealth = [self.tokens.log_mean, self.length.log_mean, *self.tokens.log_e.tolist()]
        return [float(self.tokens.draws), *wealth]

    def _scores(
        self,
        tokens: np.ndarray,
        before: np.ndarray,
        target: np.ndarray,
        inside: np.ndarray,
        fixed: np.ndarray,
        speaks: np.ndarray,
    ) -> np.ndarray:
        """``(n, tests)``: every score in every stratum, 0 outside it."""
        assert self._learnt is not None
        scores = np.zeros((len(tokens), len(STRATA), len(FIXED) + len(LEARNT)))
        cells = self._learnt.cells(tokens, before, target)
        for stratum in range(len(STRATA)):
            here = np.flatnonzero(inside[:, stratum] & speaks.any(axis=1))
            if not here.size:
                continue
            scores[here, stratum, : len(FIXED)] = fixed[here]
            self._counts[stratum] += speaks[here].sum(axis=0)
            self._sums[stratum, :, 0] += fixed[here].sum(axis=0)
            self._sums[stratum, :, 1] += (fixed[here] ** 2).sum(axis=0)
            for place, name in enumerate(LEARNT, len(FIXED)):
                mine = tuple(part[here] for part in cells[name])
                scores[here, stratum, place] = self._learnt.scores(stratum, name, *mine)
                self._learnt.learn(stratum, name, *mine)
        return scores.reshape(len(tokens), -1)

    def _check_lengths(self, steps: Steps) -> None:
        if steps.expected is None or not len(steps.expected):
            return
        if steps.drafted.max() > self.most_drafts:
            raise InputError(
                f"`drafted` is {steps.drafted.max()} in a step that tells `expected`, and "
                f"`most_drafts` {self.most_drafts}; declare the most that the engine ever drafts"
            )
        lowest, highest = float(steps.expected.min()), float(steps.expected.max())
        if not 1 - ROUNDING <= lowest <= highest <= self.most_drafts + 1 + ROUNDING:
            wrong = highest if lowest >= 1 - ROUNDING else lowest
            raise InputError(
                f"`expected` holds {wrong:.6g}; a step of at most {self.most_drafts} drafts emits "
                f"1 to {self.most_drafts + 1} tokens in the mean. The mean of accepted drafts, or "
                "an acceptance rate?"
            )

    def _past(self, steps: Steps) -> tuple[np.ndarray, np.ndarray]:
        """``(B,)`` token before each step and how the request's step before it ended."""
        rows = np.arange(len(steps.request))
        last = steps.tokens[rows, steps.counts - 1]
        ended = np.where(steps.counts > steps.drafted, 2, 1) * (steps.drafted > 0)
        before, after = np.full(len(rows), -1), np.zeros(len(rows), dtype=np.int64)
        for row, request in enumerate(steps.request.tolist()):
            before[row] = self._last.get(request, -1)
            after[row] = self._after.get(request, 0)
            self._last[request] = int(last[row])
            self._after[request] = int(ended[row])
        return before, after

    @property
    def p_bound(self) -> float:
        """Upper bound on the p-value of the tokens' law; valid at any stopping time."""
        return 0.0 if self.impossible else min(1.0, 2 * self.tokens.p_bound)

    @property
    def biased(self) -> bool:
        """Whether the tokens' law is not the target's, at half the declared rate."""
        return self.p_bound <= self.alpha

    def report(self) -> StreamReport:
        """What was found so far."""
        order = np.argsort(-self.tokens.log_peak, kind="stable").tolist()
        known = self._trace and self._trace[-1][0] == self.tokens.draws
        trace = self._trace if known else [*self._trace, self._point()]
        told = self._excess[1] > 0
        return StreamReport(
            alpha=self.alpha,
            tokens=self.tokens.draws,
            steps=self.steps,
            impossible=self.impossible,
            log_e_peak=self.tokens.log_mean_peak,
            peaked_at=self.tokens.peaked_at,
            tests=tuple((self.tokens.names[i], float(self.tokens.log_peak[i])) for i in order),
            bounds=self._bounds(),
            length_log_e_peak=self.length.log_mean_peak if told else None,
            length_excess=float(self._excess[0] / self._excess[1]) if told else None,
            trace=tuple((*point[:3], *(point[3 + i] for i in order)) for point in trace),
        )

    def _bounds(self) -> tuple[Bound, ...]:
        """How far the mean of each fixed score may be off, stratum by stratum, all together."""
        bounds = []
        for stratum in range(len(STRATA)):
            for place, name in enumerate(FIXED):
                n, scale = int(self._counts[stratum, place]), SCALES[name]
                total, squares = self._sums[stratum, place]
                if squares == 0:
                    continue
                off = float(deviation(squares, self.alpha / (len(STRATA) * len(FIXED))))
                bounds.append(
                    Bound(
                        f"{STRATA[stratum]}: {name}",
                        MEANINGS[name],
                        UNITS[name],
                        scale * abs(total) / n,
                        scale * min(1.0, (abs(total) + off) / n),
                    )
                )
        return tuple(bounds)

    def state(self) -> dict[str, Any]:
        """All there is to continue from, as numbers, strings and lists."""
        return {
            "alpha": self.alpha,
            "most_drafts": self.most_drafts,
            "tokens": self.tokens.state(),
            "length": self.length.state(),
            "steps": self.steps,
            "impossible": self.impossible,
            "size": self._size,
            "last": list(self._last.items()),
            "after": list(self._after.items()),
            "sums": self._sums.tolist(),
            "counts": self._counts.tolist(),
            "excess": self._excess.tolist(),
            "trace": list(self._trace),
            "learnt": None if self._learnt is None else self._learnt.state(),
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> StreamAudit:
        """Continue where `state` was taken."""
        made = cls(state["alpha"], int(state["most_drafts"]))
        made.tokens = TestMartingale.from_state(state["tokens"])
        made.length = TestMartingale.from_state(state["length"])
        made.steps, made.impossible = int(state["steps"]), int(state["impossible"])
        made._size = state["size"]
        made._last, made._after = dict(state["last"]), dict(state["after"])
        made._sums = np.array(state["sums"])
        made._counts = np.array(state["counts"], dtype=np.int64)
        made._excess = np.array(state["excess"])
        made._trace = list(state["trace"])
        if state["learnt"] is not None:
            made._learnt = LearntScores.from_state(state["learnt"], len(STRATA), state["size"])
        return made
