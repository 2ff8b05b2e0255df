r"""Streams as JSON lines: one verification step of one request a line, in the order they happened.

    {"request": "a", "prompt": [12, 7], "tokens": [5, 9, 4], "drafted": 3, "batch": 8,
     "target": [law, law, law], "draft": [law, law], "expected": 2.31}

``tokens`` (required): what the step emitted, accepted drafts first, then one token more.
``drafted``: how many drafts it had; 0 if left out.
``request``: string or integer; one request if left out.
``target``: a law for each token, given the text before it. Needed unless a model computes them.
``draft``: the draft's law at the first ``drafted`` of the tokens, as far as they go. Optional.
``prompt``: tokens before the request's first step; a model needs it, on that step's line.
``batch``, ``expected``: the engine's batch size in that step, and the mean number of tokens that
such a step emits under the claimed rule. Optional; all lines or none.

A law is a list of V probabilities, or ``{"ids": [..], "logprobs": [..]}``, natural logarithms of
the most probable tokens; all other tokens then count as one. Which ids are listed must follow from
the law alone: a server that lists the sampled token besides the top ones must have it taken out,
or the audit is void. A first line ``{"vocab_size": V}`` is needed with such lists.

Best are the laws that the engine's own sampler saw. Laws of another forward pass (a model given
here, another batch shape) differ by the model's rounding; a long audit sees that too, and cannot
tell it from a biased sampler.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from spectheory.audit.stream_steps import Steps
from spectheory.distributions import from_logits
from spectheory.errors import InputError

CELLS = 4_000_000
"""Probabilities held at once."""

LINES = 1024
"""Lines held at once."""


class Forcing(Protocol):
    """A model that scores a text: ``logits(tokens)`` is ``(T, V)``, row t for token t + 1."""

    @property
    def vocab_size(self) -> int: ...

    def logits(self, tokens: Any) -> np.ndarray: ...


class Line(NamedTuple):
    """A checked line.

    Attributes:
        number: from 1, for messages.
        request: key.
        entry: the fields.
    """

    number: int
    request: str
    entry: dict[str, Any]


class StreamFile:
    """Reads steps from a file, some at a time.

    Attributes:
        lines: read so far.
        start: digest of those lines.
        requests: integer of each request's key.
        texts: by request, its tokens so far; kept only where a model needs them.

    Args:
        path: the file.
        model: computes the target's laws; None if the lines carry them.
        process: what the target's law goes through before sampling (temperature, top-p, ..), a
            function of ``(n, V)`` laws; applied to a model's laws only.
    """

    def __init__(
        self,
        path: Path,
        model: Forcing | None = None,
        process: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> None:
        self.path = path
        self.model = model
        self.process = process
        self.lines = 0
        self.start = ""
        self.requests: dict[str, int] = {}
        self.texts: dict[str, list[int]] = {}
        self._size = None if model is None else model.vocab_size
        self._lists = 0
        """1 if laws may list some tokens only: the last place is then all others."""

    def steps(self, skip: int = 0, start: str = "") -> Iterator[Steps]:
        """The steps after the first ``skip`` lines, whose digest must be ``start``.

        Raises:
            InputError: another file than the digest is of, or a line that is not as described; the
                message gives its number.
        """
        held: list[Line] = []
        width = 0
        digest, number = hashlib.sha256(), 0
        with open(self.path, "rb") as file:
            for number, text in enumerate(file, 1):
                digest.update(text)
                if number == skip and digest.hexdigest() != start:
                    raise InputError(f"{self.path} is not the file whose audit is to be continued")
                if 1 < number <= skip:
                    continue
                line = self._parse(number, text)
                if line is None or number <= skip:
                    continue
                held.append(line)
                width = max(width, len(line.entry["tokens"]))
                if len(held) * width * (self._size or 1) >= CELLS or len(held) >= LINES:
                    self.lines, self.start = number, digest.hexdigest()
                    yield self._gather(held)
                    held, width = [], 0
        if number < skip:
            raise InputError(
                f"{self.path} has {number} lines; the audit to be continued read {skip}"
            )
        if held:
            self.lines, self.start = number, digest.hexdigest()
            yield self._gather(held)

    def _parse(self, number: int, text: bytes) -> Line | None:
        if not text.strip():
            return None
        try:
            entry = json.loads(text)
        except ValueError as error:
            raise self._bad(number, f"is not JSON ({error}). Cut off while writing?") from error
        if not isinstance(entry, dict):
            raise self._bad(number, "is not an object")
        if "tokens" not in entry and set(entry) == {"vocab_size"}:
            self._size, self._lists = int(entry["vocab_size"]), 1
            return None
        tokens = entry.get("tokens")
        if not (isinstance(tokens, list) and tokens and all(type(t) is int for t in tokens)):
            raise self._bad(number, "needs `tokens`, a list of one integer or more")
        drafted = entry.setdefault("drafted", 0)
        if type(drafted) is not int or not len(tokens) - 1 <= drafted:
            raise self._bad(
                number,
                f"emits {len(tokens)} tokens with `drafted` = {drafted}; a step emits at most its "
                "drafts and one token more",
            )
        if self.model is None and len(entry.get("target") or ()) != len(tokens):
            raise self._bad(
                number,
                "needs `target`, a law for each of its tokens, unless a model computes them",
            )
        return Line(number, str(entry.get("request", "")), entry)

    def _gather(self, held: list[Line]) -> Steps:
        """One batch of lines as arrays."""
        counts = np.array([len(line.entry["tokens"]) for line in held])
        size = self._size or len(self._dense(held[0], held[0].entry["target"][0]))
        self._size = size
        shape = (len(held), int(counts.max()))
        tokens = np.zeros(shape, dtype=np.int64)
        target = np.zeros((*shape, size + self._lists))
        drafted = np.array([line.entry["drafted"] for line in held])
        has_draft = ["draft" in line.entry for line in held]
        draft = np.zeros_like(target) if any(has_draft) else None
        forced = self._forced(held) if self.model is not None else None
        for row, line in enumerate(held):
            laws = forced[row] if forced is not None else line.entry["target"]
            for place, token in enumerate(line.entry["tokens"]):
                if not 0 <= token < size:
                    raise self._bad(
                        line.number, f"holds token {token}; the vocabulary has 0 to {size - 1}"
                    )
                listed = self._write(line, laws[place], target[row, place])
                tokens[row, place] = token if listed is None or listed[token] else size
                drafts = line.entry.get("draft") or ()
                if draft is not None and place < min(len(drafts), drafted[row]):
                    self._write(line, drafts[place], draft[row, place])
                    if listed is not None:
                        coarsen(draft[row, place], listed)
        self._check(held, target)
        if draft is not None:
            # Rows without a draft law say nothing about the draft: they get the target's.
            draft = np.where(draft.sum(axis=-1, keepdims=True) > 0, draft, target)
        return Steps(
            request=np.array(
                [self.requests.setdefault(line.request, len(self.requests)) for line in held]
            ),
            tokens=tokens,
            counts=counts,
            drafted=drafted,
            target=target,
            draft=draft,
            batch=self._column(held, "batch", np.int64),
            expected=self._column(held, "expected", np.float64),
        )

    def _write(self, line: Line, law: Any, out: np.ndarray) -> np.ndarray | None:
        """Write a law; returns which tokens it lists, or None for all."""
        if not isinstance(law, dict):
            values = self._dense(line, law)
            if values.size != self._size:
                raise self._bad(
                    line.number, f"holds a law over {values.size} tokens; expected {self._size}"
                )
            out[: values.size] = values
            return None
        if not self._lists:
            raise self._bad(
                line.number,
                "lists the most probable tokens only; the file needs a first line "
                '{"vocab_size": V}',
            )
        try:
            ids = np.asarray(law["ids"], dtype=np.int64)
            masses = np.exp(np.asarray(law["logprobs"], dtype=np.float64))
            out[ids] = masses
        except (KeyError, ValueError, TypeError, IndexError, OverflowError) as error:
            raise self._bad(line.number, f"holds a list of tokens that is none: {error}") from error
        left = 1 - float(masses.sum())
        if ids.ndim != 1 or np.unique(ids).size != ids.size or ids.min() < 0 or left < -1e-4:
            raise self._bad(
                line.number,
                f"lists tokens with mass {1 - left:.6g}, or one of them twice; expected distinct "
                "`ids` and natural `logprobs` of mass at most 1",
            )
        out[-1] = max(left, 0.0)
        out /= out.sum()
        listed = np.zeros(out.size, dtype=bool)
        listed[ids] = True
        return listed

    def _dense(self, line: Line, law: Any) -> np.ndarray:
        values = np.asarray(law, dtype=np.float64) if isinstance(law, list | np.ndarray) else None
        if values is None or values.ndim != 1:
            raise self._bad(line.number, "holds a law that is no list of probabilities")
        return values

    def _check(self, held: list[Line], target: np.ndarray) -> None:
        emitted = np.arange(target.shape[1]) < np.array(
            [[len(line.entry["tokens"])] for line in held]
        )
        sums = np.where(emitted, target.sum(axis=-1), 1.0)
        if not (np.abs(sums - 1) < 1e-5).all() or target.min() < 0:
            row = int(np.abs(sums - 1).max(axis=1).argmax())
            raise self._bad(
                held[row].number,
                f"holds a `target` that sums to {sums[row][np.abs(sums[row] - 1).argmax()]:.6g}, "
                "or a negative entry; expected probabilities. Logits?",
            )
        target /= np.where(emitted, sums, 1.0)[..., None]

    def _forced(self, held: list[Line]) -> list[np.ndarray]:
        """``(tokens, V)`` laws of each line's tokens: one pass of the model a request."""
        assert self.model is not None
        spans = []
        for line in held:
            text = self.texts.get(line.request)
            if text is None:
                text = self.texts[line.request] = list(line.entry.get("prompt") or ())
                if not text:
                    raise self._bad(
                        line.number,
                        "starts a request without a `prompt`; the model needs one token at least",
                    )
            spans.append((line.request, len(text)))
            text += line.entry["tokens"]
        laws = {request: self._score(self.texts[request]) for request in dict(spans)}
        return [
            laws[request][first - 1 : first - 1 + len(line.entry["tokens"])]
            for line, (request, first) in zip(held, spans, strict=True)
        ]

    def _score(self, text: list[int]) -> np.ndarray:
        assert self.model is not None
        laws = from_logits(np.asarray(self.model.logits(np.array(text))[:-1]))
        return laws if self.process is None else self.process(laws)

    def _column(self, held: list[Line], name: str, dtype: type) -> np.ndarray | None:
        values = [line.entry.get(name) for line in held]
        if all(value is None for value in values):
            return None
        if any(type(value) not in (int, float) for value in values):
            row = next(i for i, value in enumerate(values) if type(value) not in (int, float))
            raise self._bad(held[row].number, f"needs a number for `{name}`, as other lines have")
        return np.array(values, dtype=dtype)

    def _bad(self, number: int, what: str) -> InputError:
        return InputError(f"{self.path}, line {number} {what}")


def coarsen(draft: np.ndarray, listed: np.ndarray) -> None:
    """Move a draft law's mass on tokens that the target does not list to the last place."""
    hidden = ~listed
    hidden[-1] = False
    draft[-1] += draft[hidden].sum()
    draft[hidden] = 0.0


def write_steps(path: Path, steps: Iterable[Steps]) -> int:
    """Write steps as lines; returns how many. What `StreamFile` reads is what was written."""
    count = 0
    with open(path, "w", encoding="utf-8") as file:
        for some in steps:
            for row, emitted in enumerate(some.counts.tolist()):
                entry: dict[str, Any] = {
                    "request": str(some.request[row]),
                    "tokens": some.tokens[row, :emitted].tolist(),
                    "drafted": int(some.drafted[row]),
                    "target": some.target[row, :emitted].tolist(),
                }
                if some.draft is not None:
                    rows = min(emitted, entry["drafted"])
                    entry["draft"] = some.draft[row, :rows].tolist()
                for name, kind in (("batch", int), ("expected", float)):
                    if (value := getattr(some, name)) is not None:
                        entry[name] = kind(value[row])
                file.write(json.dumps(entry) + "\n")
                count += 1
    return count
