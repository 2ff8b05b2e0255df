"""What a batched rule is: an executor of one definition, most often its ladder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from spectheory.batched.draws import TILE, draw, few, on_host
from spectheory.batched.laws import DenseLaws, Laws
from spectheory.batched.shortlist import shortlist
from spectheory.discovery import find, named
from spectheory.errors import (
    DistributionError,
    ImpossibleDraft,
    SchemeMismatch,
    ShapeError,
    VocabularyMismatch,
)
from spectheory.verdict import Draw
from spectheory.verification.rule import VerificationRule
from spectheory.verification.rule import rule as definition


class Ladder(NamedTuple):
    """A verdict whose residual is computed only for the requests that come to need it.

    Attributes:
        accept: ``(B, k)`` probability of taking each draft given that the earlier ones failed;
            a tensor or an array.
        residual: from an index of n requests to ``(n, V)`` masses, not normalised.
    """

    accept: Any
    residual: Callable[[Any], Tensor]


Kernel = Callable[..., None]
"""See `LadderRule.kernel`."""


class BatchedRule(ABC):
    """An executor of the rule with the same key; it draws the same tokens from the same tape.

    Attributes:
        pools: whether tokens that the target never emits and that were not drafted may be taken
            for one; not where the rule reads token ids, or divides by what drafts leave of the
            draft's mass, of which a difference from 1 keeps few digits.
    """

    key: ClassVar[str]
    pools: ClassVar[bool] = True

    @classmethod
    def examples(cls) -> Iterator[BatchedRule]:
        """The instance that is found by its key."""
        yield cls()

    @property
    def definition(self) -> VerificationRule:
        """The rule that is executed."""
        return definition(self.key)

    def __call__(self, target: Laws, draft: Laws, drafts: Tensor, uniforms: Tensor) -> Draw:
        """Verify k drafts of each of B requests.

        Args:
            target, draft: B laws over one vocabulary.
            drafts: ``(B, k)`` int64 tokens.
            uniforms: ``(B, k + 1)`` float64 in [0, 1), read as by `Verdict.sample`.

        Returns:
            token and slot, each ``(B,)`` int64; slot k is the residual.

        Raises:
            VocabularyMismatch, ShapeError: axes that do not fit together.
            SchemeMismatch: more or fewer drafts than the rule is defined for.
            ImpossibleDraft: a token outside the vocabulary, of draft probability 0, or repeated
                where the rule is for distinct drafts.
            DistributionError: target probabilities of drafts that are none, as of NaN logits.
        """
        check(self.definition, target, draft, drafts, uniforms)
        short = None
        if self.pools and isinstance(target, DenseLaws) and isinstance(draft, DenseLaws):
            short = shortlist(target, draft, drafts)
        if short is None:
            return self._draw(target, draft, drafts, uniforms)
        place, slot = self._draw(short.target, short.draft, short.drafts, uniforms)
        return Draw(short.tokens.gather(-1, place[:, None])[:, 0], slot)

    @abstractmethod
    def _draw(self, target: Laws, draft: Laws, drafts: Tensor, uniforms: Tensor) -> Draw:
        """See `__call__`; the arguments are checked."""


class LadderRule(BatchedRule):
    """A batched rule that walks the drafts in order, as `Verdict.sample` does."""

    def kernel(self) -> Kernel | None:
        """Code that decides and draws on CPU, one request after the other; None if there is none.

        It fills ``tokens`` and ``slots`` ``(B,)`` from arrays: ``(B, V)`` float64 laws, drafts,
        uniforms and the tile of `draws.draw`. Passes over a row by torch, each of them written to
        memory and read again, take several times as long.
        """
        return None

    def _draw(self, target: Laws, draft: Laws, drafts: Tensor, uniforms: Tensor) -> Draw:
        dense = all(isinstance(law, DenseLaws) and on_host(law.law) for law in (target, draft))
        kernel = self.kernel() if dense else None
        if kernel is not None:
            token, slot = torch.empty(2, len(drafts), dtype=torch.int64)
            given = (target.dense(), draft.dense(), drafts, uniforms)
            kernel(*(each.numpy() for each in given), TILE, token.numpy(), slot.numpy())
            return Draw(token, slot)
        accept, residual = self._ladder(target, draft, drafts)
        k = drafts.shape[-1]
        slot = torch.as_tensor((few(uniforms)[:, :k] >= few(accept)).cumprod(-1).sum(-1))
        token = drafts.gather(-1, slot.clamp(max=k - 1)[:, None])[:, 0]
        failed: Any = (slot == k).nonzero()[:, 0]
        if len(failed):
            if len(failed) == len(slot):
                failed = slice(None)  # views of the rows, no copies
            token[failed] = draw(residual(failed), uniforms[failed, k])
        return Draw(token, slot)

    @abstractmethod
    def _ladder(self, target: Laws, draft: Laws, drafts: Tensor) -> Ladder:
        """The verdict for checked arguments; not asked where `kernel` gives code for the laws."""


def check(
    rule: VerificationRule, target: Laws, draft: Laws, drafts: Tensor, uniforms: Tensor
) -> None:
    """Refuse what no rule can verify; see `BatchedRule.__call__`."""
    if target.shape[-1] != draft.shape[-1]:
        raise VocabularyMismatch(
            f"`target` is over {target.shape[-1]} tokens and `draft` over {draft.shape[-1]}; "
            "both need one vocabulary. Different tokenizers, or one padded?"
        )
    if drafts.ndim != 2 or {target.shape[:-1], draft.shape[:-1]} != {drafts.shape[:1]}:
        raise ShapeError(
            f"`target`, `draft` and `drafts` have shapes {tuple(target.shape)}, "
            f"{tuple(draft.shape)} and {tuple(drafts.shape)}; expected (B, V), (B, V) and (B, k)"
        )
    if uniforms.shape != (len(drafts), drafts.shape[1] + 1):
        raise ShapeError(
            f"`uniforms` has shape {tuple(uniforms.shape)}; expected "
            f"{(len(drafts), drafts.shape[1] + 1)}: one a draft and one for the residual"
        )
    k, most = drafts.shape[1], rule.most_drafts
    if k < rule.least_drafts or (most is not None and k > most):
        raise SchemeMismatch(
            f"`drafts` holds {k} tokens a request; rule `{rule.key}` is defined for k from "
            f"{rule.least_drafts} to {most or 'any'}"
        )
    check_drafted(draft, drafts)
    rule.check_repeats(drafts)
    if not bool((few(target.at(drafts)) >= 0).all()):
        raise DistributionError(
            "`target` is negative or NaN at a token of `drafts`; expected laws. NaN logits?"
        )


def check_drafted(draft: Laws, drafts: Tensor, read: Tensor | None = None) -> None:
    """Refuse drafts that are not from the draft law.

    Args:
        draft: ``(..., V)`` laws.
        drafts: ``(..., k)`` tokens.
        read: which of them will be read; None for all.

    Raises:
        ImpossibleDraft: a token outside the vocabulary, or of draft probability 0.
    """
    size = draft.shape[-1]
    if read is not None:
        drafts = drafts.where(read, 0)
    if drafts.numel() and not 0 <= int(few(drafts).min()) <= int(few(drafts).max()) < size:
        raise ImpossibleDraft(
            f"`drafts` holds a token outside 0 to {size - 1}. Padding id, or another tokenizer?"
        )
    possible = few(draft.at(drafts)) > 0
    if not bool((possible if read is None else possible | ~few(read)).all()):
        raise ImpossibleDraft(
            "a token of `drafts` has probability 0 under `draft`; it was not drawn from that law. "
            "Was the draft tempered or truncated after sampling?"
        )


@cache
def batched_rules() -> dict[str, BatchedRule]:
    """Every batched rule by key.

    >>> "k_seq" in batched_rules()
    True
    """
    return find("spectheory.batched", BatchedRule)  # type: ignore[type-abstract]


def batched_rule(key: str) -> BatchedRule:
    """The batched rule with that key.

    Raises:
        UnknownName: no such rule; the message lists those there are.
    """
    return named(batched_rules(), key, "batched rule")
