"""Speculative decoding of many sequences of one known length at once, such as images of tokens.

A model here gives the laws of all positions in one pass. Sequences advance side by side, each at
its own pace; a pass serves those that are not finished.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from spectheory.errors import InputError
from spectheory.verdict import inverse_transform
from spectheory.verification.rule import VerificationRule


class SequenceModel(Protocol):
    """Laws of every token of sequences of fixed length.

    Attributes:
        length: tokens a sequence, L.
        vocab_size: V.
    """

    @property
    def length(self) -> int: ...

    @property
    def vocab_size(self) -> int: ...

    def laws(self, tokens: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """``(n, L, V)`` law of each token given those before it.

        Args:
            tokens: ``(n, L)`` integers; entry i of a law depends on ``tokens[:, :i]`` only, so what
                stands later is of no account.
            rows: ``(n,)`` which sequences of the batch these are, for models with conditions.
        """
        ...


class ByContext:
    """A `SequenceModel` from a function of the context; exact if its laws are.

    >>> fair = ByContext(lambda context: np.array([0.5, 0.5]), vocab_size=2, length=3)
    >>> fair.laws(np.zeros((1, 3), int), np.arange(1)).shape
    (1, 3, 2)
    """

    def __init__(
        self, law: Callable[[Sequence[int]], np.ndarray], vocab_size: int, length: int
    ) -> None:
        self.vocab_size = vocab_size
        self.length = length
        self._law = law
        self._known: dict[tuple[int, ...], np.ndarray] = {}

    def laws(self, tokens: np.ndarray, rows: np.ndarray) -> np.ndarray:
        places = []
        context = np.zeros(len(tokens), dtype=np.int64)  # a number for each different prefix
        for place in range(self.length):
            _, first, which = np.unique(context, return_index=True, return_inverse=True)
            known = np.stack([self._at(tuple(prefix)) for prefix in tokens[first, :place].tolist()])
            places.append(known[which])
            context = which * self.vocab_size + tokens[:, place]
        return np.stack(places, axis=1)

    def _at(self, context: tuple[int, ...]) -> np.ndarray:
        if context not in self._known:
            self._known[context] = self._law(list(context))
        return self._known[context]


class Generated(NamedTuple):
    """Finished sequences and what they cost.

    Attributes:
        tokens: ``(n, L)``.
        target_calls: ``(n,)`` passes of the target that each sequence took part in.
        draft_calls: ``(n,)`` the same for the draft model.
        accepted: ``(n,)`` drafted tokens that were kept.
    """

    tokens: np.ndarray
    target_calls: np.ndarray
    draft_calls: np.ndarray
    accepted: np.ndarray

    @property
    def tokens_per_call(self) -> float:
        """Tokens per pass of the target, over all sequences."""
        return float(self.tokens.size / self.target_calls.sum())


@dataclass(frozen=True)
class Window:
    """Drafted tokens of the sequences, and how far each sequence is final.

    Attributes:
        tokens: ``(n, L)`` integers: final ones, then drafts, then nothing of account.
        draft: ``(n, L, V)`` law that each draft was drawn from.
        final: ``(n,)`` number of final tokens.
        end: ``(n,)`` where the drafts end.
    """

    tokens: np.ndarray
    draft: np.ndarray
    final: np.ndarray
    end: np.ndarray


def verify_window(
    rule: VerificationRule, laws: np.ndarray, window: Window, uniforms: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Keep drafts up to the first that the rule replaces; its replacement is final too.

    If all drafts stay, the token after them is drawn from the target, whose law the pass has given.

    Args:
        rule: any rule for one draft.
        laws: ``(n, L, V)`` target laws given the window's tokens.
        window: the drafts.
        uniforms: ``(n, L, 3)`` in [0, 1): accept test, residual, token after the window.

    Returns:
        ``(n, L)`` tokens, ``(n,)`` final tokens now, ``(n,)`` drafts kept.
    """
    length = window.tokens.shape[1]
    place = np.arange(length)
    drafted = (place >= window.final[:, None]) & (place < window.end[:, None])
    kept = np.zeros_like(drafted)
    tokens = window.tokens.copy()
    if drafted.any():
        verdict = rule.verdict(
            laws[drafted], window.draft[drafted], window.tokens[drafted][:, None]
        )
        draw = verdict.sample(uniforms[drafted][:, :2])
        tokens[drafted], kept[drafted] = draw.token, draw.slot == 0
    open_places = (place >= window.final[:, None]) & ~kept
    changed = np.where(open_places.any(axis=1), open_places.argmax(axis=1), length)
    rows = np.flatnonzero((changed == window.end) & (changed < length))
    after = changed[rows]
    tokens[rows, after] = inverse_transform(laws[rows, after], uniforms[rows, after, 2])
    return tokens, np.minimum(changed + 1, length), changed - window.final


def plain_decode(model: SequenceModel, count: int, generator: np.random.Generator) -> Generated:
    """Draw ``count`` sequences token by token: what every lossless decoder must match in law."""
    tokens = np.zeros((count, model.length), dtype=np.int64)
    rows = np.arange(count)
    for place in range(model.length):
        law = model.laws(tokens, rows)[:, place]
        tokens[:, place] = inverse_transform(law, generator.random(count))
    calls = np.full(count, model.length)
    return Generated(tokens, calls, calls * 0, calls * 0)


def speculative_decode(
    target: SequenceModel,
    draft: SequenceModel,
    count: int,
    rule: VerificationRule,
    generator: np.random.Generator,
    drafts: int = 4,
) -> Generated:
    """Draw ``count`` sequences with drafts of a smaller model, cut at the first replaced one.

    The law is the target's if the rule is law-lossless for one draft.

    Args:
        target: the model whose law counts.
        draft: a model over the same tokens.
        count: number of sequences.
        rule: any rule for one draft.
        generator: the only source of randomness.
        drafts: tokens drafted a round.

    Raises:
        InputError: two models of other shapes, or no drafts.

    >>> half, lean = (lambda c: np.array([0.5, 0.5])), (lambda c: np.array([0.7, 0.3]))
    >>> from spectheory import rule
    >>> models = [ByContext(law, vocab_size=2, length=8) for law in (half, lean)]
    >>> done = speculative_decode(*models, 5, rule("rejection"), np.random.default_rng(0))
    >>> done.tokens.shape, bool((done.target_calls < 8).all())
    ((5, 8), True)
    """
    check_same_shape(target, draft)
    if drafts < 1:
        raise InputError(f"`drafts` is {drafts}; expected at least 1")
    length = target.length
    tokens = np.zeros((count, length), dtype=np.int64)
    final, calls, draft_calls, accepted = np.zeros((4, count), dtype=np.int64)
    while (rows := np.flatnonzero(final < length)).size:
        mine, start = tokens[rows], final[rows]
        end = np.minimum(start + drafts, length)
        proposal = np.zeros((rows.size, length, target.vocab_size))
        for step in range(int((end - start).max())):
            going = np.flatnonzero(start + step < end)
            at = start[going] + step
            law = draft.laws(mine[going], rows[going])[np.arange(going.size), at]
            mine[going, at] = inverse_transform(law, generator.random(going.size))
            proposal[going, at] = law
            draft_calls[rows[going]] += 1
        window = Window(mine, proposal, start, end)
        uniforms = generator.random((rows.size, length, 3))
        tokens[rows], final[rows], kept = verify_window(
            rule, target.laws(mine, rows), window, uniforms
        )
        calls[rows] += 1
        accepted[rows] += kept
    return Generated(tokens, calls, draft_calls, accepted)


def check_same_shape(target: SequenceModel, draft: SequenceModel) -> None:
    """Refuse two models over other tokens or lengths."""
    mine, other = (target.length, target.vocab_size), (draft.length, draft.vocab_size)
    if mine != other:
        raise InputError(
            f"`target` has (length, vocabulary) {mine} and `draft` {other}; expected the same. "
            "Another tokenizer?"
        )
