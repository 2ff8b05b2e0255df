r"""Streams as JSON lines: one verification step of one request a line, in the order they happened.

    {"request": "a", "prompt": [12, 7], "tokens": [5, 9, 4], "drafted": 3, "batch": 8,
     "target": [law, law, law], "draft": [law, law], "expected": 2.31}

``tokens`` (required): what the step emitted, accepted drafts first, then one token more.
``drafted``: how many drafts it had; 0 if left out.
``request``: string or integer; one request if left out.
``target``: a law for each token, given the text before it. Where it is left out, a model must
compute the laws.
``draft``: the draft's law at the first ``drafted`` of the tokens, as far as they go. Optional.
``prompt``: tokens before the request's first step, on that step's line; only a model reads it.
``batch``, ``expected``: the engine's batch size in that step, and the mean number of tokens that
such a step emits under the claimed rule, given the text before it: over the numbers of drafts too
where the drafter may stop, and of a step that the end of a text may cut, the mean of what is left.
Optional; all lines or none.

A law is a list of V probabilities, or ``{"ids": [..], "logprobs": [..]}``, natural logarithms of
the most probable tokens; all other tokens then count as one. Which ids are listed must follow from
the law alone: a server that lists the sampled token besides the top ones must have it taken out,
or the audit is void. A first line ``{"vocab_size": V}`` is needed with such lists.

Log-probabilities that a server rounds are another law, by as much as they are rounded. A list that
leaves nothing to all other tokens is taken to be rounded, not to rule them out.

Best are the laws that the engine's own sampler saw. Laws of another forward pass (a model given
here, another batch shape) differ by the model's rounding; a long audit sees that too, and cannot
tell it from a biased sampler. Where they are cut off, by top-k, top-p or temperature 0, rounding
may leave out a token that the engine had, and one such token is evidence enough.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from spectheory.audit.stream_line import Law, Line, LineParser
from spectheory.audit.stream_steps import Steps
from spectheory.distributions import from_logits
from spectheory.errors import InputError, ModelFailure

CELLS = 4_000_000
"""Probabilities held at once."""

LINES = 1024
"""Lines held at once."""


class Forcing(Protocol):
    """A model that scores a text: ``logits(tokens)`` is ``(T, V)``, row t for token t + 1."""

    @property
    def vocab_size(self) -> int: ...

    def logits(self, tokens: Any) -> np.ndarray: ...


class StreamFile:
    """Reads steps from a file, some at a time.

    Attributes:
        lines: read so far.
        start: digest of those lines.
        requests: integer of each request's key.
        texts: by request, its tokens so far, empty if it started without a prompt; kept only where
            there is a model.

    Args:
        path: the file.
        model: computes the target's laws where lines do not carry them; None if all do.
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
        self._parser = LineParser(path, None if model is None else model.vocab_size)

    def steps(self, skip: int = 0, start: str = "") -> Iterator[Steps]:
        """The steps after the first ``skip`` lines, whose digest must be ``start``.

        Raises:
            InputError: another file than the digest is of, or a line that is not as described; the
                message gives its number.
            ModelFailure: what the model returned is no set of logits.
        """
        held: list[Line] = []
        width = 0
        digest, number = hashlib.sha256(), 0
        with open(self.path, "rb") as file:
            for number, text in enumerate(file, 1):
                new = number > skip
                line = self._parser.parse(number, text) if new or number == 1 else None
                if line is not None and new:
                    wider = max(width, len(line.tokens))
                    if held and self._full(len(held) + 1, wider):
                        self.lines, self.start = number - 1, digest.hexdigest()
                        yield self._gather(held)
                        held, wider = [], len(line.tokens)
                    held.append(line)
                    width = wider
                # A last line may have no end yet.
                digest.update(text.rstrip(b"\r\n") + b"\n")
                if number == skip and digest.hexdigest() != start:
                    raise InputError(f"{self.path} is not the file whose audit is to be continued")
        if number < skip:
            raise InputError(
                f"{self.path} has {number} lines; the audit to be continued read {skip}"
            )
        if held:
            self.lines, self.start = number, digest.hexdigest()
            yield self._gather(held)

    def _full(self, lines: int, width: int) -> bool:
        assert self._parser.size is not None
        return lines > LINES or lines * width * self._parser.size > CELLS

    def _gather(self, held: list[Line]) -> Steps:
        """One batch of lines as arrays."""
        size = self._parser.size
        assert size is not None
        counts = np.array([len(line.tokens) for line in held])
        shape = (len(held), int(counts.max()))
        tokens = np.zeros(shape, dtype=np.int64)
        target = np.zeros((*shape, size + self._parser.lists))  # the last place: all others
        draft = np.zeros_like(target) if any(line.draft is not None for line in held) else None
        if self.model is not None:
            self._force(held, target)
        for row, line in enumerate(held):
            for place, token in enumerate(line.tokens):
                listed = None
                if line.target is not None:
                    listed = spread(line.target[place], target[row, place])
                tokens[row, place] = token if listed is None or listed[token] else size
                if draft is None:
                    continue
                if line.draft is None or place >= len(line.draft):
                    # No draft law says nothing about the draft, as the target's does.
                    draft[row, place] = target[row, place]
                    continue
                spread(line.draft[place], draft[row, place])
                if listed is not None:
                    coarsen(draft[row, place], listed)
        return Steps(
            request=np.array(
                [self.requests.setdefault(line.request, len(self.requests)) for line in held]
            ),
            tokens=tokens,
            counts=counts,
            drafted=np.array([line.drafted for line in held]),
            target=target,
            draft=draft,
            batch=self._column(held, "batch"),
            expected=self._column(held, "expected"),
        )

    def _force(self, held: list[Line], target: np.ndarray) -> None:
        """Write the laws that lines do not carry: one pass of the model a request."""
        wanted: dict[str, list[tuple[int, slice]]] = defaultdict(list)
        for row, line in enumerate(held):
            if line.prompt and line.request in self.texts:
                raise self._parser.bad(
                    line.number,
                    "holds a `prompt`, but its request has begun; another request of that name?",
                )
            text = self.texts.setdefault(line.request, list(line.prompt))
            if line.target is None:
                if not text:
                    raise self._parser.bad(
                        line.number,
                        "needs `target`, or a `prompt` where its request starts: the model needs "
                        "one token at least",
                    )
                here = slice(len(text) - 1, len(text) - 1 + len(line.tokens))
                wanted[line.request].append((row, here))
            if text:
                text += line.tokens
        for request, places in wanted.items():
            logits = self._logits(self.texts[request])
            for row, here in places:
                laws = from_logits(logits[here])
                laws = laws if self.process is None else self.process(laws)
                target[row, : len(laws), : laws.shape[1]] = laws

    def _logits(self, text: list[int]) -> np.ndarray:
        assert self.model is not None
        logits = np.asarray(self.model.logits(np.array(text)))
        expected = (len(text), self.model.vocab_size)
        if logits.shape != expected:
            raise ModelFailure(
                f"the model returned logits of shape {logits.shape} for {len(text)} tokens; "
                f"expected {expected}"
            )
        return logits

    def _column(self, held: list[Line], name: str) -> np.ndarray | None:
        values = [getattr(line, name) for line in held]
        if all(value is None for value in values):
            return None
        if None in values:
            raise self._parser.bad(
                held[values.index(None)].number,
                f"needs a number for `{name}`, as other lines have",
            )
        return np.array(values)


def spread(law: Law, out: np.ndarray) -> np.ndarray | None:
    """Write a law over all places; returns which tokens it lists, or None for all.

    A list that leaves tokens out says that they have probability, even where its rounded numbers
    sum to 1 or more: by rounding, that is as much as the sum is off.
    """
    if law.ids is None:
        out[: law.masses.size] = law.masses
        return None
    out[law.ids] = law.masses
    if law.ids.size < out.size - 1:
        out[-1] = max(abs(1 - float(law.masses.sum())), float(np.finfo(np.float64).eps))
    out /= out.sum()
    listed = np.zeros(out.size, dtype=bool)
    listed[law.ids] = True
    return listed


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
