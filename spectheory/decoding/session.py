"""What a decoder asks of a model: read on from a text along a tree, and forget what failed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from spectheory.arrays import Array, namespace, total
from spectheory.decoding.sampling import Sampling


class Nodes(NamedTuple):
    """Tokens for a session to read, below what it has read since the last `Session.keep`.

    Attributes:
        tokens: n token ids.
        parents: what each follows: a pending node, counted over all nodes since the last `keep`,
            or -1 for the end of the kept text.
        wanted: how many of the last nodes need their laws.
    """

    tokens: Sequence[int]
    parents: Sequence[int]
    wanted: int

    @classmethod
    def chain(cls, tokens: Sequence[int], wanted: int) -> Nodes:
        """Tokens one after the other, straight behind the kept text."""
        return cls(tokens, range(-1, len(tokens) - 1), wanted)


class Rows(Protocol):
    """Next-token laws behind the nodes that were wanted.

    Attributes:
        tokens: ``(S,)`` ids, ascending: all others have probability 0; None where that is not
            known of any.
    """

    @property
    def tokens(self) -> np.ndarray | None: ...

    def __len__(self) -> int: ...

    def law(self, row: int, sampling: Sampling) -> Array:
        """``(V,)`` law of the token behind the wanted node ``row``."""
        ...

    def resized(self, size: int) -> Rows:
        """The laws given that the token is below ``size``; 0 for tokens that were not there."""
        ...


@runtime_checkable
class Session(Protocol):
    """A model reading B texts at once; row b of every argument belongs to text b."""

    def extend(self, batch: Sequence[Nodes]) -> Sequence[Rows]:
        """Read nodes, which stay pending until `keep`; returns the laws wanted of each text.

        Raises:
            ModelFailure: NaN or infinite logits.
            MemoryError: the cache or the pass does not fit.
        """
        ...

    def keep(self, paths: Sequence[Sequence[int]]) -> None:
        """Append to each text the pending nodes of one path, in order; forget all others."""
        ...

    def select(self, texts: Sequence[int]) -> None:
        """Go on with these texts only, in this order."""
        ...


@runtime_checkable
class DecodableModel(Protocol):
    """A model that can open a session.

    Attributes:
        name: for tables and messages.
        vocab_size: V.
        context: most tokens it looks back on; None for any number.
    """

    @property
    def name(self) -> str: ...

    @property
    def vocab_size(self) -> int: ...

    @property
    def context(self) -> int | None: ...

    def session(self, texts: int) -> Session:
        """A session over that many empty texts."""
        ...


class LawRows:
    """Laws given as such, in any arithmetic."""

    tokens: np.ndarray | None = None

    def __init__(self, laws: Sequence[Array]) -> None:
        self._laws = laws

    def __len__(self) -> int:
        return len(self._laws)

    def law(self, row: int, sampling: Sampling) -> Array:
        """See `Rows.law`."""
        return sampling.of_law(self._laws[row])

    def resized(self, size: int) -> LawRows:
        """See `Rows.resized`."""
        laws = []
        for law in self._laws:
            xp, cut = namespace(law), law[:size]
            none = xp.broadcast_to(cut[:1] * 0, (size - cut.shape[0],))
            laws.append(xp.concat([cut / total(cut), none]))
        return LawRows(laws)


class LogitRows:
    """Laws given by logits, turned into probabilities one row at a time, when asked for.

    Attributes:
        logits: ``(n, V)`` tensor or array, where the model left it.
    """

    tokens: np.ndarray | None = None

    def __init__(self, logits: Any) -> None:
        self.logits = logits

    def __len__(self) -> int:
        return int(self.logits.shape[0])

    def law(self, row: int, sampling: Sampling) -> Array:
        """See `Rows.law`; float64 on the host."""
        logits = self.logits[row]
        if not hasattr(logits, "cpu"):
            return sampling.of_logits(logits)
        if sampling.temperature and sampling.top_k is sampling.top_p is None:
            from spectheory.batched.laws import softmax

            return softmax(logits.cpu()[None], sampling.temperature).law.numpy()[0]
        return sampling.of_logits(logits.cpu()).numpy()

    def resized(self, size: int) -> LogitRows:
        """See `Rows.resized`."""
        xp = namespace(self.logits)
        cut = self.logits[:, :size]
        none = xp.full_like(cut[:, :1], -xp.inf)
        masked = xp.broadcast_to(none, (len(cut), size - cut.shape[1]))
        return LogitRows(xp.concat([cut, masked], axis=-1))


class HeadTokens(NamedTuple):
    """Which tokens the outputs of a head are of.

    Attributes:
        tokens: ``(S,)`` ids, ascending; all others have probability 0.
        size: V.
    """

    tokens: np.ndarray
    size: int


class PrunedRows(LogitRows):
    """Laws given by the logits of some tokens: the softmax goes over those alone.

    Attributes:
        head: which tokens the columns are of.
    """

    def __init__(self, logits: Any, head: HeadTokens) -> None:
        super().__init__(logits)
        self.head, self.tokens = head, head.tokens

    def law(self, row: int, sampling: Sampling) -> Array:
        """See `Rows.law`; float64 on the host."""
        law = np.zeros(self.head.size)
        law[self.head.tokens] = super().law(row, sampling)
        return law

    def resized(self, size: int) -> PrunedRows:
        """See `Rows.resized`."""
        known = int(np.searchsorted(self.head.tokens, size))
        return PrunedRows(self.logits[:, :known], HeadTokens(self.head.tokens[:known], size))


class TextSession:
    """A session of a model without a cache: it asks for the law of a text anew each time.

    Args:
        law: from a text to the ``(V,)`` law of its next token.
        texts: how many.
    """

    def __init__(self, law: Any, texts: int) -> None:
        self._law = law
        self._texts: list[list[int]] = [[] for _ in range(texts)]
        self._pending: list[list[list[int]]] = [[] for _ in range(texts)]

    def extend(self, batch: Sequence[Nodes]) -> Sequence[Rows]:
        """See `Session.extend`."""
        answers: list[Rows] = []
        for text, pending, nodes in zip(self._texts, self._pending, batch, strict=True):
            for token, parent in zip(nodes.tokens, nodes.parents, strict=True):
                pending.append([*(pending[parent] if parent >= 0 else text), int(token)])
            wanted = pending[len(pending) - nodes.wanted :]
            answers.append(LawRows([self._law(read) for read in wanted]))
        return answers

    def keep(self, paths: Sequence[Sequence[int]]) -> None:
        """See `Session.keep`."""
        for row, path in enumerate(paths):
            if len(path):
                self._texts[row] = self._pending[row][path[-1]]
            self._pending[row] = []

    def select(self, texts: Sequence[int]) -> None:
        """See `Session.select`."""
        self._texts = [self._texts[text] for text in texts]
        self._pending = [self._pending[text] for text in texts]
