"""What a verification rule is: one function from (target, draft, drafts) to a Verdict."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import ClassVar, NamedTuple, Protocol

from spectheory.arrays import Array, is_token, namespace
from spectheory.discovery import find, named
from spectheory.distributions import check_pair
from spectheory.drafting.scheme import check_possible, has_repeats
from spectheory.drafting.scheme import scheme as scheme_named
from spectheory.errors import ImpossibleDraft, SchemeMismatch, ShapeError
from spectheory.verdict import Verdict


class Rates(NamedTuple):
    """The two acceptances of a rule, averaged over the draft law.

    Attributes:
        acceptance: ``(...)`` P(output is one of the drafts), what the optimum bounds.
        ladder: ``(...)`` P(the accept ladder fires); lower where the residual can hit a draft.
    """

    acceptance: Array
    ladder: Array


class Plan(Protocol):
    """A rule set up for one position."""

    @property
    def value(self) -> Array:
        """P(the accept ladder fires), averaged over the draft law."""

    def verdict(self, drafts: Array) -> Verdict:
        """What the rule does with the drafts at hand, ``(..., k)``."""


@dataclass(frozen=True)
class VerificationRule(ABC):
    """A verification rule; subclasses are frozen dataclasses that carry their parameters.

    Class facts:
        key: name in the API, the command line and tables.
        reference: citation key of the source.
        lossless: whether the output law is the target's (law-lossless).
        lossless_under: keys of the draft schemes for which that is proved by enumeration.
        biased_under: for a declared-lossy rule, the schemes for which `output_law` is exact.
        dominates: keys of rules whose acceptance is never above this rule's, scheme by scheme.
        most_drafts: largest k the rule is defined for; None for any.
        least_drafts: smallest k.
        maximal_at_one: whether one draft is accepted with probability 1 - TV.
        exact: whether it runs on Fractions; if not it is float64 only, and its losslessness is
            checked by enumeration to 1e-12.
        iterative: whether set-up is an optimisation of seconds a position at V = 50,000, so that
            tables over many positions bound it (`bounded`) and use a few positions.
    """

    key: ClassVar[str]
    reference: ClassVar[str]
    lossless: ClassVar[bool] = True
    lossless_under: ClassVar[tuple[str, ...]] = ()
    biased_under: ClassVar[tuple[str, ...]] = ()
    dominates: ClassVar[tuple[str, ...]] = ()
    least_drafts: ClassVar[int] = 1
    most_drafts: ClassVar[int | None] = None
    maximal_at_one: ClassVar[bool] = True
    exact: ClassVar[bool] = True
    iterative: ClassVar[bool] = False

    @classmethod
    def examples(cls) -> Iterator[VerificationRule]:
        """The instances that tests, tables and the README use."""
        yield cls()

    def bounded(self) -> VerificationRule:
        """The rule with its set-up kept short, for many positions; itself if that is no issue."""
        return self

    @property
    def schemes(self) -> tuple[str, ...]:
        """Keys of the schemes that the rule's claim (lossless, or its bias formula) covers."""
        return self.lossless_under if self.lossless else self.biased_under

    def serves(self, scheme: str, k: int) -> bool:
        """Whether the rule's claim covers k drafts of that scheme."""
        most = k if self.most_drafts is None else self.most_drafts
        return scheme in self.schemes and self.least_drafts <= k <= most

    def check_repeats(self, drafts: Array) -> None:
        """Refuse a repeated token where every scheme that the rule's claim covers draws none.

        Raises:
            ImpossibleDraft: some row of ``(..., k)`` drafts holds a token twice.
        """
        if drafts.shape[-1] < 2 or not all(scheme_named(key).distinct for key in self.schemes):
            return
        if has_repeats(drafts):
            raise ImpossibleDraft(
                f"`drafts` holds a token twice at one position; rule `{self.key}` is for schemes "
                f"of distinct drafts ({', '.join(self.schemes)}). Drawn with replacement?"
            )

    # -- public, checked ---------------------------------------------------------------------

    def verdict(self, target: Array, draft: Array, drafts: Array) -> Verdict:
        """What the rule does with the drafts at hand.

        Args:
            target: ``(..., V)`` law of the target model.
            draft: ``(..., V)`` law the drafts were drawn from, or one law a slot, ``(..., k, V)``:
                with one axis more than ``drafts``.
            drafts: ``(..., k)`` integer tokens; batch axes broadcast.

        Raises:
            DistributionError, ShapeError, VocabularyMismatch: bad laws.
            ImpossibleDraft: a token outside the vocabulary, of draft probability 0, or that the
                rule's draft scheme cannot have drawn.
            SchemeMismatch: more or fewer drafts than the rule is defined for, or one law a slot
                where its scheme has one law.
        """
        check_pair(target, draft)
        self._check_drafts(draft, drafts)
        # Bodies always see a batch axis, and laws with as many axes as the drafts.
        single = drafts.ndim == 1
        if single:
            target, draft, drafts = (a[None, ...] for a in (target, draft, drafts))
        while target.ndim < drafts.ndim:
            target = target[None, ...]
        while draft.ndim < drafts.ndim:
            draft = draft[None, ...]
        verdict = self._verdict(target, draft, drafts)
        if single:
            return Verdict(
                *(part[0, ...] for part in (verdict.drafts, verdict.accept, verdict.residual))
            )
        return verdict

    def rates(self, target: Array, draft: Array, k: int, scheme: str = "iid") -> Rates | None:
        """Closed-form acceptances, or None where the rule has no closed form for that scheme.

        Args:
            target: ``(..., V)``.
            draft: ``(..., V)``, or ``(..., k, V)`` for ``scheme="heterogeneous"``.

        Raises:
            SchemeMismatch: the rule's claim does not cover k drafts of that scheme.
            ShapeError: not one draft law a slot, where slots have laws of their own.
        """
        if not self.serves(scheme, k):
            raise SchemeMismatch(
                f"rule `{self.key}` covers schemes {', '.join(self.schemes)} with k from "
                f"{self.least_drafts} to {self.most_drafts or 'any'}; got `{scheme}` with k = {k}"
            )
        check_pair(target, draft)
        if scheme_named(scheme).per_slot and (draft.ndim < 2 or draft.shape[-2] != k):
            raise ShapeError(
                f"`draft` has shape {tuple(draft.shape)}; `{scheme}` expects (..., {k}, V): one "
                f"law for each of k = {k} slots"
            )
        if target.ndim == 1:
            one = self._rates(target[None, :], draft[None, ...], k, scheme)
            return one and Rates(*(rate[0] for rate in one))
        return self._rates(target, draft, k, scheme)

    def plan(self, target: Array, draft: Array, k: int) -> Plan | None:
        """The rule set up for one position whose ladder is known exactly, or None if there is none.

        Args:
            target: ``(V,)``.
            draft: ``(V,)`` or ``(k, V)``.
        """
        return None

    # -- what a rule defines -----------------------------------------------------------------

    @abstractmethod
    def _verdict(self, target: Array, draft: Array, drafts: Array) -> Verdict:
        """See `verdict`; the arguments are checked."""

    def _rates(self, target: Array, draft: Array, k: int, scheme: str) -> Rates | None:
        """See `rates`; the arguments are checked."""
        return None

    def output_law(self, target: Array, draft: Array, k: int, scheme: str = "iid") -> Array:
        """``(..., V)`` law of the output over drafts and rule: the target, if lossless.

        A declared-lossy rule overrides this with its formula; its bias is the difference.
        """
        return target

    # ----------------------------------------------------------------------------------------

    def _check_drafts(self, draft: Array, drafts: Array) -> None:
        check_possible(draft, drafts)
        k = drafts.shape[-1]
        most = k if self.most_drafts is None else self.most_drafts
        if not self.least_drafts <= k <= most:
            raise SchemeMismatch(
                f"`drafts` holds {k} tokens a position; rule `{self.key}` is defined for k from "
                f"{self.least_drafts} to {self.most_drafts or 'any'}"
            )
        per_slot = {scheme_named(key).per_slot for key in self.schemes}
        if (draft.ndim == drafts.ndim + 1) not in per_slot:
            raise SchemeMismatch(
                f"`draft` has shape {tuple(draft.shape)} and `drafts` {tuple(drafts.shape)}; rule "
                f"`{self.key}` is for {', '.join(self.schemes)} drafts, "
                + ("one law a slot" if per_slot == {True} else "all slots of one law")
            )
        self.check_repeats(drafts)


@cache
def rules() -> dict[str, VerificationRule]:
    """Every rule by key, lossless ones first.

    >>> rules()["rejection"].reference
    'leviathan2023fast'
    """
    found = find("spectheory.verification", VerificationRule)  # type: ignore[type-abstract]
    return dict(sorted(found.items(), key=lambda item: (not item[1].lossless, item[0])))


def rule(key: str) -> VerificationRule:
    """The rule with that key.

    Raises:
        UnknownName: no such rule; the message lists those there are.
    """
    return named(rules(), key, "rule")


def unique_slots(drafts: Array) -> Array:
    """``(..., k)`` mask of the slots whose token stands in no earlier slot."""
    xp = namespace(drafts)
    columns = []
    for i in range(drafts.shape[-1]):
        fresh = xp.ones_like(drafts[..., i], dtype=xp.bool)
        for j in range(i):
            fresh = fresh & (drafts[..., j] != drafts[..., i])
        columns.append(fresh)
    return xp.stack(columns, axis=-1)


def among(drafts: Array, like: Array) -> Array:
    """``(..., V)`` mask of the tokens that are among the drafts."""
    mask = is_token(drafts[..., 0], like)
    for i in range(1, drafts.shape[-1]):
        mask = mask | is_token(drafts[..., i], like)
    return mask
