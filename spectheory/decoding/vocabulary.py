"""Fits a draft to its target's vocabulary: same tokens, or refused; other padding, resized."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from spectheory.decoding.draft_source import DraftSource, ModelDraft
from spectheory.decoding.lookup_first import LookupFirst
from spectheory.decoding.session import DecodableModel, Nodes, Rows, Session
from spectheory.errors import VocabularyMismatch


def fitted(source: DraftSource, target: DecodableModel) -> DraftSource:
    """The source with laws over the target's vocabulary.

    Output heads are often padded, and to another size in each model of a family. Where both models
    have tokenizers with the same tokens, the draft's laws are resized; see `ResizedModel`. The
    target's are never changed.

    Raises:
        VocabularyMismatch: token ids that mean something else than the target's, or may do so.
    """
    if isinstance(source, LookupFirst):
        fitted(source.lookup, target)  # over the target's tokens, or refused
        return replace(source, other=fitted(source.other, target))
    ours = getattr(target, "tokenizer", None)
    theirs = getattr(getattr(source, "model", None), "tokenizer", None)
    both = ours is not None and theirs is not None
    if ours is not None and theirs is not None and ours is not theirs:
        _check_tokens(source, theirs.get_vocab(), target, ours.get_vocab())
    if source.vocab_size is None or source.vocab_size == target.vocab_size:
        return source
    if both and type(source) is ModelDraft:  # others read more of a model than its laws
        return ModelDraft(ResizedModel(source.model, target.vocab_size))
    raise VocabularyMismatch(
        f"draft `{source.name}` is over {source.vocab_size} tokens, target `{target.name}` "
        f"over {target.vocab_size}; a draft must share the target's tokenizer"
    )


@dataclass(frozen=True)
class ResizedModel:
    """A model whose laws are cut to the first V tokens and divided by their mass, or padded with 0.

    A draft may be so resized: its law is declared as it is sampled from. Ids that the model does
    not have, a padded target's own padding, are read as its last one: what the model makes of
    them decides how good its drafts are, not what the target emits.

    Attributes:
        model: a model with the same tokens.
        vocab_size: V.
    """

    model: DecodableModel
    vocab_size: int

    @property
    def name(self) -> str:
        """The model's name."""
        return self.model.name

    @property
    def context(self) -> int | None:
        """The model's context."""
        return self.model.context

    def session(self, texts: int) -> Session:
        """See `DecodableModel.session`."""
        return _ResizedSession(self.model.session(texts), self.model.vocab_size, self.vocab_size)


@dataclass(frozen=True)
class _ResizedSession:
    session: Session
    known: int
    size: int

    def extend(self, batch: Sequence[Nodes]) -> Sequence[Rows]:
        read = [
            nodes._replace(tokens=[min(token, self.known - 1) for token in nodes.tokens])
            for nodes in batch
        ]
        return [rows.resized(self.size) for rows in self.session.extend(read)]

    def keep(self, paths: Sequence[Sequence[int]]) -> None:
        self.session.keep(paths)

    def select(self, texts: Sequence[int]) -> None:
        self.session.select(texts)


def _check_tokens(
    source: DraftSource, other: dict[str, int], target: DecodableModel, one: dict[str, int]
) -> None:
    """Refuse two vocabularies that differ in any token."""
    if one == other:
        return
    differing = next(text for text in {**one, **other} if one.get(text) != other.get(text))
    raise VocabularyMismatch(
        f"draft `{source.name}` has another tokenizer than target `{target.name}`: "
        f"{differing!r} is token {one.get(differing)} here, {other.get(differing)} there"
    )
