"""One line of a stream file, checked: what is wrong with it is refused with its number.

See `spectheory.audit.stream_file` for what the fields mean.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from spectheory.errors import InputError

MOST = 2**31 - 1
"""Of a size or a count; a larger one is none."""

MASS_SLACK = 1e-5
"""How far the sum of a law may stand from 1."""

LISTED_SLACK = 1e-4
"""How far listed tokens may exceed mass 1: servers round their log-probabilities."""

MEAN_SLACK = 1e-6
"""How far a mean may stand outside its range, by rounding."""


class Law(NamedTuple):
    """A law as a line holds it.

    Attributes:
        masses: ``(V,)`` probabilities, or ``(n,)`` those of the tokens in ``ids``.
        ids: ``(n,)`` tokens, all others counting as one; None where every token has its own mass.
    """

    masses: np.ndarray
    ids: np.ndarray | None = None


class Line(NamedTuple):
    """A checked line.

    Attributes:
        number: from 1, for messages.
        request: key.
        tokens: emitted ones.
        drafted: drafts of the step.
        target: a law for each token; None if a model is to compute them.
        draft: laws at the first tokens, at most ``drafted``; None if there are none.
        prompt: read only where there is a model, else empty.
        batch: batch size, or None.
        expected: mean number of tokens, or None.
    """

    number: int
    request: str
    tokens: list[int]
    drafted: int
    target: list[Law] | None
    draft: list[Law] | None
    prompt: list[int]
    batch: int | None
    expected: float | None


class LineParser:
    """Checks the lines of a file in their order.

    Attributes:
        size: V, from the model, from a first line that states it, or from the first law; None
            before.
        lists: whether laws may list some tokens only.

    Args:
        path: the file, for messages.
        size: V of a model that computes the laws which lines do not carry; None without one.
    """

    def __init__(self, path: Path, size: int | None = None) -> None:
        self.path = path
        self.size = size
        self.lists = False
        self._model = size is not None

    def parse(self, number: int, text: bytes) -> Line | None:
        """The line; None if it holds no step.

        Raises:
            InputError: it is not as described; the message gives its number.
        """
        if not text.strip():
            return None
        try:
            entry = json.loads(text)
        except ValueError as error:
            raise self.bad(number, f"is not JSON ({error}). Cut off while writing?") from error
        if not isinstance(entry, dict):
            raise self.bad(number, "is not an object")
        if set(entry) == {"vocab_size"}:
            self._take_size(number, entry["vocab_size"])
            return None
        tokens = entry.get("tokens")
        if not _are_integers(tokens) or not tokens:
            raise self.bad(number, "needs `tokens`, a list of one integer or more")
        drafted = entry.get("drafted", 0)
        if type(drafted) is not int or not len(tokens) - 1 <= drafted <= MOST:
            raise self.bad(
                number,
                f"emits {len(tokens)} tokens with `drafted` = {drafted}; a step emits at most its "
                "drafts and one token more",
            )
        target, draft = (self._laws(number, name, entry.get(name)) for name in ("target", "draft"))
        if len(target or ()) != len(tokens) and not (self._model and target is None):
            raise self.bad(
                number,
                "needs `target`, a law for each of its tokens, unless a model computes them",
            )
        if len(draft or ()) > drafted:
            raise self.bad(
                number, f"holds {len(draft or ())} laws in `draft` with `drafted` = {drafted}"
            )
        prompt = (entry.get("prompt") if self._model else None) or []
        if not _are_integers(prompt):
            raise self.bad(number, f"holds `prompt` = {prompt!r:.40}; expected a list of tokens")
        self._check_tokens(number, "", tokens)
        self._check_tokens(number, " in its `prompt`", prompt)
        return Line(
            number,
            self._request(number, entry.get("request")),
            tokens,
            drafted,
            target,
            draft,
            prompt,
            self._batch(number, entry.get("batch")),
            self._expected(number, entry.get("expected")),
        )

    def bad(self, number: int, what: str) -> InputError:
        """The error that says what a line is or does."""
        return InputError(f"{self.path}, line {number} {what}")

    def _take_size(self, number: int, size: Any) -> None:
        if type(size) is not int or not 1 <= size <= MOST:
            raise self.bad(
                number, f"states `vocab_size` {size!r}; expected an integer of at least 1"
            )
        if number != 1:
            raise self.bad(number, "states `vocab_size`, which is for the first line to say")
        if self.size not in (None, size):
            raise self.bad(number, f"states `vocab_size` {size}; the model has {self.size}")
        self.size, self.lists = size, True

    def _laws(self, number: int, name: str, laws: Any) -> list[Law] | None:
        if laws is None:
            return None
        if not isinstance(laws, list):
            raise self.bad(number, f"holds a `{name}` that is no list of laws")
        return [
            self._listed(number, law) if isinstance(law, dict) else self._dense(number, name, law)
            for law in laws
        ]

    def _dense(self, number: int, name: str, law: Any) -> Law:
        masses = _numbers(law)
        if masses is None or not masses.size:
            raise self.bad(number, "holds a law that is no list of probabilities")
        if self.size is None:
            self.size = masses.size
        if masses.size != self.size:
            raise self.bad(number, f"holds a law over {masses.size} tokens; expected {self.size}")
        with np.errstate(over="ignore", invalid="ignore"):  # of what is refused
            total = masses.sum(dtype=np.float64)
        if not abs(total - 1) < MASS_SLACK or masses.min() < 0:
            raise self.bad(
                number,
                f"holds a `{name}` that sums to {total:.6g}, or a negative entry; expected "
                "probabilities. Logits?",
            )
        return Law(masses / total)

    def _listed(self, number: int, law: dict[str, Any]) -> Law:
        if not self.lists or self.size is None:
            raise self.bad(
                number,
                "lists the most probable tokens only; the file needs a first line "
                '{"vocab_size": V}',
            )
        ids, logs = _numbers(law.get("ids")), _numbers(law.get("logprobs"))
        if (
            ids is None
            or logs is None
            or ids.size != logs.size
            or (ids.size and ids.dtype.kind not in "iu")
        ):
            raise self.bad(
                number,
                "holds a list of tokens that is none; expected integer `ids` and as many natural "
                "`logprobs`",
            )
        ids = ids.astype(np.int64)
        self._check_tokens(number, " in a list", ids.tolist())
        with np.errstate(over="ignore"):  # of what is refused
            masses = np.exp(logs)
        if not masses.sum() <= 1 + LISTED_SLACK or np.unique(ids).size != ids.size:
            raise self.bad(
                number,
                f"lists tokens with mass {masses.sum():.6g}, or one of them twice; expected "
                "distinct `ids` and natural `logprobs` of mass at most 1",
            )
        return Law(masses, ids)

    def _check_tokens(self, number: int, where: str, tokens: list[int]) -> None:
        assert self.size is not None  # a model's, or that of the line's own laws
        for token in tokens:
            if not 0 <= token < self.size:
                raise self.bad(
                    number,
                    f"holds token {token}{where}; the vocabulary has 0 to {self.size - 1}",
                )

    def _request(self, number: int, key: Any) -> str:
        if key is not None and type(key) not in (str, int):
            raise self.bad(number, f"holds `request` = {key!r:.40}; expected a string or integer")
        return "" if key is None else str(key)

    def _batch(self, number: int, batch: Any) -> int | None:
        if batch is not None and (type(batch) is not int or not 1 <= batch <= MOST):
            raise self.bad(
                number, f"holds `batch` = {batch!r:.40}; expected an integer of at least 1"
            )
        return batch

    def _expected(self, number: int, expected: Any) -> float | None:
        """The upper end, the most drafts that the engine ever makes and one, the audit knows."""
        if expected is None:
            return None
        if type(expected) not in (int, float) or not 1 - MEAN_SLACK <= expected <= MOST:
            raise self.bad(
                number,
                f"holds `expected` = {expected!r:.40}; expected a mean number of tokens, 1 or more",
            )
        return float(expected)


def _are_integers(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int for value in values)


def _numbers(values: Any) -> np.ndarray | None:
    """A list of numbers as an array, an empty one too; None for anything else."""
    if not isinstance(values, list):
        return None
    try:
        array = np.asarray(values)
    except ValueError:  # rows of unequal lengths
        return None
    return array if array.ndim == 1 and array.dtype.kind in "fiu" else None
