"""The audit of a sampler whose target law is known: several test martingales, read as one.

    draft_ratio      clip(log q/p): does the output lean towards the draft, or away from it?
    log_probability  clip(log p): is it sharper or flatter, or is the tail lost?
    rank_uniformity, pearson, valiant_valiant, collisions: see `spectheory.audit.learned`
    acceptance       is a draft accepted as often as the rule accepts it?

The mean of their wealths is the e-process that decides. Draws come in any number of pieces, each
with its own context; memory does not grow with their number.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence

import numpy as np

from spectheory.audit.bounds import FixedScores, rank_bound, token_bound
from spectheory.audit.context import Context
from spectheory.audit.learned import LEARNED, Tallies
from spectheory.audit.martingale import TestMartingale
from spectheory.audit.report import AuditReport, TestEvidence
from spectheory.errors import InputError, ShapeError

FIXED = ("draft_ratio", "log_probability", "acceptance")
TESTS = ("draft_ratio", "log_probability", *LEARNED, "acceptance")

FIRST = 64
"""Draws before anything is learnt."""

STALE = 16
"""Learnt scores are renewed when the draws have grown by 1 / 16: their number is logarithmic."""

PIECE = 1 << 14
"""Draws whose scores are held in memory at once."""


class KnownTargetAudit:
    """Audit of draws against the law each was to have; see the module.

    What is found does not depend on how the draws are cut into pieces.

    Args:
        size: V.
        alpha: false-alarm rate, however often one looks.
        tests: names from `TESTS`; leave out what the sampler cannot be tested for.

    >>> from spectheory.audit.sampler import rejection_sampler
    >>> p, q = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5])
    >>> audit = KnownTargetAudit(3, alpha=1e-3)
    >>> audit.update(*rejection_sampler(p, q, 20_000, 0), context=Context.of(p, q))
    >>> audit.report().biased
    False
    >>> audit.update(np.zeros(2_000, int), context=Context.of(p, q))
    >>> audit.report().biased
    True
    """

    def __init__(self, size: int, alpha: float, tests: Sequence[str] = TESTS) -> None:
        if not 0 < alpha < 1:
            raise InputError(f"`alpha` is {alpha}; expected a rate in (0, 1)")
        unknown = [test for test in tests if test not in TESTS]
        if unknown:
            raise InputError(f"no test `{unknown[0]}`; there are {', '.join(TESTS)}")
        self.alpha = alpha
        self.size = size
        self.impossible = 0
        self.martingale = TestMartingale(tests)
        self._tallies = Tallies(size)
        self._learnt = Tallies(size)  # a copy of the tallies at the last renewal
        self._renew_at = FIRST
        self._tables: tuple[Context, np.ndarray] | None = None
        self._fixed = FixedScores([test for test in tests if test in FIXED])
        self._trace: list[list[float]] = []

    @property
    def draws(self) -> int:
        """Draws taken in, impossible ones among them."""
        return self.martingale.draws

    @property
    def biased(self) -> bool:
        """Whether the null has been rejected at ``alpha``, at this draw or an earlier one."""
        return self.impossible > 0 or self.martingale.log_mean_peak >= -math.log(self.alpha)

    def update(
        self, tokens: np.ndarray, accepted: np.ndarray | None = None, *, context: Context
    ) -> None:
        """Take in draws of one context.

        Args:
            tokens: ``(n,)`` integers in the order drawn.
            accepted: ``(n,)`` bool, whether a draft was accepted; None if not known.
            context: what they were to be drawn from; the same object again costs no set-up.

        Raises:
            ShapeError: a context over another vocabulary, or shapes that differ.
            InputError: tokens that are no integers in 0..V-1.
        """
        tokens = np.asarray(tokens)
        if context.target.size != self.size:
            raise ShapeError(
                f"`context` is over {context.target.size} tokens, this audit over {self.size}"
            )
        if tokens.ndim != 1 or (accepted is not None and np.shape(accepted) != tokens.shape):
            raise ShapeError(
                f"`tokens` has shape {tokens.shape}"
                + ("" if accepted is None else f" and `accepted` {np.shape(accepted)}")
                + "; expected (n,)"
            )
        if tokens.dtype.kind not in "iu":
            raise InputError(f"`tokens` has dtype {tokens.dtype}; expected integer token ids")
        if tokens.size and (tokens.min() < 0 or tokens.max() >= self.size):
            raise InputError(
                f"`tokens` holds {tokens.min()} to {tokens.max()}; the vocabulary has tokens 0 to "
                f"{self.size - 1}. Padding id, or another tokenizer?"
            )
        first = 0
        while first < tokens.size:
            stop = min(tokens.size, first + PIECE, first + self._renew_at - self.draws)
            flags = None if accepted is None else np.asarray(accepted)[first:stop]
            self._take(tokens[first:stop], flags, context)
            first = stop
            if self.draws == self._renew_at:
                self._renew()

    def _take(self, tokens: np.ndarray, accepted: np.ndarray | None, context: Context) -> None:
        """Draws of one context and one renewal."""
        names = self.martingale.names
        scores = self._table(context)[tokens]
        acceptance = None
        if "acceptance" in names and accepted is not None and context.acceptance is not None:
            rate = context.acceptance
            acceptance = (accepted - rate) / max(rate, 1 - rate)
            scores[:, names.index("acceptance")] = acceptance
        self.martingale.update(scores)
        counts = np.bincount(tokens, minlength=self.size).astype(np.float64)
        counts[context.target == 0] = 0.0  # no score speaks about these: one is enough
        self.impossible += tokens.size - int(counts.sum())
        self._tallies.add(counts, context)
        columns = {name: scores[:, names.index(name)] for name in self._fixed.names}
        self._fixed.add(columns, context, speaks=acceptance is not None)

    def _table(self, context: Context) -> np.ndarray:
        """``(V, tests)`` scores in this context, as learnt at the last renewal."""
        if self._tables is None or self._tables[0] is not context:
            table = np.zeros((self.size, len(self.martingale.names)))
            for column, name in enumerate(self.martingale.names):
                if name == "log_probability":
                    table[:, column] = context.log_probability.score
                elif name == "draft_ratio" and context.draft_ratio is not None:
                    table[:, column] = context.draft_ratio.score
                elif name in LEARNED and self._learnt.draws:
                    table[:, column] = LEARNED[name](self._learnt, context)
            self._tables = (context, table)
        return self._tables[1]

    def _renew(self) -> None:
        self._learnt, self._tables = self._tallies.copy(), None
        self._renew_at = self.draws + max(FIRST, self.draws // STALE)
        self._trace.append(self._point())

    def _point(self) -> list[float]:
        evidence = [self.martingale.log_mean, *self.martingale.log_e.tolist()]
        return [float(self.draws), *evidence]

    # -- what was found ------------------------------------------------------------------------

    def report(self) -> AuditReport:
        """What the draws so far say; ask as often as you like."""
        wealth = self.martingale
        share = self.alpha / 5  # at most five bounds, all of which hold together
        found = [
            self._fixed.bound("draft_ratio", share),
            self._fixed.bound("log_probability", share),
            rank_bound(self._tallies, share),
            token_bound(self._tallies, share),
            self._fixed.bound("acceptance", share),
        ]
        known = self._trace and self._trace[-1][0] == self.draws
        trace = self._trace if known else [*self._trace, self._point()]
        return AuditReport(
            alpha=self.alpha,
            draws=self.draws,
            impossible=self.impossible,
            log_e=wealth.log_mean,
            log_e_peak=wealth.log_mean_peak,
            peaked_at=wealth.peaked_at,
            tests=tuple(
                TestEvidence(name, float(now), float(peak))
                for name, now, peak in zip(wealth.names, wealth.log_e, wealth.log_peak, strict=True)
            ),
            bounds=tuple(bound for bound in found if bound is not None),
            trace=tuple(tuple(point) for point in trace),
        )

    # -- to be continued -----------------------------------------------------------------------

    def state(self) -> dict[str, np.ndarray]:
        """Arrays to continue from, for `numpy.savez`."""
        facts = {
            "size": self.size,
            "alpha": self.alpha,
            "impossible": self.impossible,
            "renew_at": self._renew_at,
            "martingale": self.martingale.state(),
            "fixed": self._fixed.state(),
            "trace": self._trace,
        }
        arrays = {"facts": np.array(json.dumps(facts))}
        for name, tallies in (("tallies", self._tallies), ("learnt", self._learnt)):
            arrays |= {f"{name}.{part}": array for part, array in tallies.state().items()}
        return arrays

    @classmethod
    def from_state(cls, state: Mapping[str, np.ndarray]) -> KnownTargetAudit:
        """Continue where `state` was taken; what is found is the same to the last bit."""
        facts = json.loads(str(state["facts"]))
        martingale = TestMartingale.from_state(facts["martingale"])
        made = cls(facts["size"], facts["alpha"], martingale.names)
        made.martingale = martingale
        made.impossible = facts["impossible"]
        made._renew_at = facts["renew_at"]
        made._fixed = FixedScores.from_state(facts["fixed"])
        made._trace = facts["trace"]
        for name, tallies in (("tallies", made._tallies), ("learnt", made._learnt)):
            tallies.restore(
                {k.partition(".")[2]: v for k, v in state.items() if k.startswith(name)}
            )
        return made
