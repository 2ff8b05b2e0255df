"""Audits a stream file chunk by chunk, with a state to continue from."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from spectheory.audit.stream import MOST_DRAFTS, StreamAudit
from spectheory.audit.stream_file import Forcing, StreamFile
from spectheory.audit.stream_report import StreamReport
from spectheory.errors import InputError


def audit_stream(
    path: Path,
    alpha: float = 1e-3,
    *,
    model: Forcing | None = None,
    process: Callable[[np.ndarray], np.ndarray] | None = None,
    state: Path | None = None,
    about: str = "",
    most_drafts: int = MOST_DRAFTS,
) -> Iterator[StreamReport]:
    """Audit a file of JSON lines, a report after every chunk; see `spectheory.audit.stream_file`.

    The whole file is read even after bias is found: later strata may tell where it sits. Break off
    the iteration to stop earlier.

    Args:
        path: the file; it may have grown since the state was saved.
        alpha: false-alarm rate, however often one looks.
        model: computes the target's laws where the file does not carry them; None if it does.
        process: the sampling parameters, a function of ``(n, V)`` laws; for a model's laws.
        state: file that is written after every chunk, and continued from if it is there.
        about: names ``model`` and ``process``; the saved state of others is refused.
        most_drafts: see `StreamAudit`; read only where the lines tell ``expected``.

    Raises:
        InputError: no steps, a bad line, or a state of another file, rate, model or number of
            drafts.
        ModelFailure: what the model returned is no set of logits.
    """
    reader = StreamFile(path, model, process)
    audit = StreamAudit(alpha, most_drafts)
    if state is not None and state.exists():
        audit = _load(state, reader, audit, about)
        yield audit.report()
    for steps in reader.steps(reader.lines, reader.start):
        audit.update(steps)
        if state is not None:
            _save(state, reader, audit, about)
        yield audit.report()
    if not audit.steps:
        raise InputError(f"{path} holds no steps; expected one JSON object a line")


def _save(path: Path, reader: StreamFile, audit: StreamAudit, about: str) -> None:
    """Whole or not at all, whenever the process ends."""
    document = {
        "about": about,
        "lines": reader.lines,
        "start": reader.start,
        "requests": reader.requests,
        "texts": reader.texts,
        "audit": audit.state(),
    }
    scratch = path.with_name(f".{path.name}.partial")
    with open(scratch, "w", encoding="utf-8") as file:
        json.dump(document, file)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)


def _load(path: Path, reader: StreamFile, fresh: StreamAudit, about: str) -> StreamAudit:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        audit, was_about = StreamAudit.from_state(document["audit"]), document["about"]
        reader.lines, reader.start = int(document["lines"]), str(document["start"])
        reader.requests, reader.texts = dict(document["requests"]), dict(document["texts"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is not the state of a stream audit: {error}") from error
    for name, what in (("alpha", "at rate"), ("most_drafts", "with `most_drafts`")):
        was, wanted = getattr(audit, name), getattr(fresh, name)
        if was != wanted:
            raise InputError(f"{path} is the state of an audit {what} {was}, not {wanted}")
    if was_about != about:
        raise InputError(f"{path} is the state of an audit of {was_about!r}, not {about!r}")
    return audit
