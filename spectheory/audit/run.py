"""Runs a sampler under audit, chunk by chunk, until it is found out or the draws are used up."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from spectheory.audit.battery import TESTS, KnownTargetAudit
from spectheory.audit.context import Context
from spectheory.audit.report import AuditReport
from spectheory.audit.sampler import Draws, Sampler, draw
from spectheory.errors import InputError, SamplerFailure, ShapeError

CHUNK = (1 << 10, 1 << 16)
"""Fewest and most draws asked for at once; in between, an eighth of those made. Fewer where the
positions would not be gone through `ROUNDS` times."""

ROUNDS = 2
"""How often each position is drawn from at least, where there are draws enough."""

LAYOUT = 2
"""Of saved states; one of another is refused."""

KEPT = 16
"""Positions whose context is kept between chunks."""

COINCIDENCE = -60.0
"""Two chunks are equal by chance with at most this log-probability before that is an error."""


@dataclass(frozen=True, eq=False)
class Job:
    """What to audit, and how far to go; with the same job and sampler, the same report.

    Attributes:
        target: ``(V,)``, or ``(m, V)`` for m positions, which take turns by chunks: each has two
            turns at least if there are 2 m draws.
        draft: of the same shape, or None.
        alpha: false-alarm rate, however often one looks.
        max_draws: where to stop if nothing is found; one a position at least.
        seed: of all draws; every chunk gets its own, derived from it.
        acceptance: exact acceptance of the sampler's rule, one number or ``(m,)``; ``1 - TV`` if
            None. It is under test if the sampler tells which drafts were accepted.
        test_acceptance: whether it is.
        sampler: its name, if it has one; the saved state of another is refused.
    """

    target: np.ndarray
    draft: np.ndarray | None = None
    alpha: float = 1e-3
    max_draws: int = 1_000_000
    seed: int = 0
    acceptance: float | np.ndarray | None = None
    test_acceptance: bool = True
    sampler: str = ""

    def __post_init__(self) -> None:
        if self.max_draws < 1 or self.seed < 0:
            raise InputError(
                f"`max_draws` is {self.max_draws} and `seed` {self.seed}; expected at least 1 and 0"
            )
        if self.target.ndim not in (1, 2):
            raise ShapeError(f"`target` has shape {self.target.shape}; expected (V,) or (m, V)")
        if self.draft is not None and self.draft.shape != self.target.shape:
            raise ShapeError(
                f"`target` has shape {self.target.shape} and `draft` {self.draft.shape}; "
                "expected the same"
            )
        # Positions have an axis from here on, and the laws are float64.
        for name in ("target", "draft"):
            law = getattr(self, name)
            if law is not None:
                rows = np.atleast_2d(np.asarray(law, dtype=np.float64))
                object.__setattr__(self, name, rows)
        if self.acceptance is not None and np.size(self.acceptance) not in (1, len(self.target)):
            raise ShapeError(
                f"`acceptance` has {np.size(self.acceptance)} entries and `target` "
                f"{len(self.target)} positions; expected one number, or one a position"
            )
        if self.max_draws < len(self.target):
            raise InputError(
                f"`max_draws` is {self.max_draws} and `target` has {len(self.target)} positions; "
                "expected a draw for each at least, or a pass would say nothing about some"
            )

    def context(self, position: int) -> Context:
        """The context of one position."""
        draft = None if self.draft is None else self.draft[position]
        rates = None if self.acceptance is None else np.ravel(self.acceptance)
        rate = None if rates is None else float(rates[position if rates.size > 1 else 0])
        return Context.of(self.target[position], draft, rate)

    def chunk(self, draws: int) -> int:
        """How many draws to ask for after so many."""
        few, many = CHUNK
        turn = max(1, self.max_draws // (ROUNDS * len(self.target)))
        return min(max(few, min(many, draws // 8)), turn, self.max_draws - draws)

    def fingerprint(self) -> dict[str, Any]:
        """What a saved state must agree on to be continued.

        `max_draws` may grow: the chunks to come are then those of the larger number.
        """
        laws = hashlib.sha256(self.target.tobytes())
        laws.update(b"" if self.draft is None else self.draft.tobytes())
        return {
            "layout": LAYOUT,
            "laws": laws.hexdigest(),
            "alpha": self.alpha,
            "seed": self.seed,
            "acceptance": np.ravel(self.acceptance).tolist() if self.acceptance is not None else [],
            "test_acceptance": self.test_acceptance,
            "sampler": self.sampler,
        }


def audit_sampler(sampler: Sampler, job: Job, state: Path | None = None) -> AuditReport:
    """Audit a sampler against its target: stops where bias is found, or after ``max_draws``.

    Args:
        sampler: see `spectheory.audit.sampler`.
        job: laws and limits.
        state: file that is written after every chunk, and continued from if it is there.

    Raises:
        SamplerFailure: the sampler raised, or broke the protocol.
        InputError: bad laws, or a state of another job.

    >>> from spectheory.audit.sampler import rejection_sampler
    >>> p, q = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5])
    >>> audit_sampler(rejection_sampler, Job(p, q, max_draws=10_000)).biased
    False
    >>> def always_accept(target, draft, n, seed):
    ...     return np.random.default_rng(seed).choice(3, n, p=draft)
    >>> audit_sampler(always_accept, Job(p, q, max_draws=10_000)).biased
    True
    """
    return deque(audit_steps(sampler, job, state), maxlen=1)[0]


def audit_steps(sampler: Sampler, job: Job, state: Path | None = None) -> Iterator[AuditReport]:
    """As `audit_sampler`, a report after every chunk, when the state has been saved.

    A chunk that is interrupted leaves no trace: the last report and the saved state agree.
    """
    progress = _load(state, job) if state is not None and state.exists() else _Progress()
    contexts = lru_cache(KEPT)(job.context)
    if progress.audit is not None:
        yield progress.report(job)
    while progress.audit is None or _goes_on(progress.audit, job):
        position = progress.chunk % len(job.target)
        context = contexts(position)
        n = job.chunk(0 if progress.audit is None else progress.audit.draws)
        draft = None if job.draft is None else job.draft[position]
        drawn = draw(sampler, job.target[position], draft, n, _seed(job.seed, progress.chunk))
        progress.refuse_repeats(drawn, context)
        if progress.audit is None:
            progress.audit = KnownTargetAudit(
                job.target.shape[-1], job.alpha, _tests(job, drawn.accepted is not None)
            )
        progress.audit.update(*drawn, context=context)
        progress.chunk += 1
        if state is not None:
            _save(state, job, progress)
        yield progress.report(job)


@dataclass
class _Progress:
    """How far a run is."""

    audit: KnownTargetAudit | None = None
    chunk: int = 0
    last: str = ""

    def report(self, job: Job) -> AuditReport:
        """What was found, and at how many positions."""
        assert self.audit is not None
        positions = len(job.target)
        return replace(
            self.audit.report(), positions=positions, drawn_from=min(self.chunk, positions)
        )

    def refuse_repeats(self, drawn: Draws, context: Context) -> None:
        """Refuse a sampler that gives the same draws for another seed."""
        digest = hashlib.sha256(drawn.tokens[: CHUNK[0]].tobytes()).hexdigest()
        same, self.last = digest == self.last, digest
        masses = context.target[drawn.tokens[: CHUNK[0]]]
        if same and np.log(np.where(masses > 0, masses, 1.0)).sum() < COINCIDENCE:
            raise SamplerFailure(
                "the sampler returned the same tokens for two seeds; expected all its randomness "
                "to come from `seed`, and fresh draws at every call"
            )


def _goes_on(audit: KnownTargetAudit, job: Job) -> bool:
    return not audit.biased and audit.draws < job.max_draws


def _tests(job: Job, tells: bool) -> list[str]:
    left_out = set()
    if job.draft is None:
        left_out.add("draft_ratio")
    if not (
        tells and job.test_acceptance and (job.draft is not None or job.acceptance is not None)
    ):
        left_out.add("acceptance")
    return [test for test in TESTS if test not in left_out]


def _seed(seed: int, chunk: int) -> int:
    return int(np.random.SeedSequence([seed, chunk]).generate_state(1, np.uint64)[0] >> 1)


def _save(path: Path, job: Job, progress: _Progress) -> None:
    """Whole or not at all, whenever the process ends."""
    assert progress.audit is not None
    facts = {"job": job.fingerprint(), "chunk": progress.chunk, "last": progress.last}
    scratch = path.with_name(f".{path.name}.partial")
    with open(scratch, "wb") as file:
        arrays: dict[str, Any] = {"run": np.array(json.dumps(facts))} | progress.audit.state()
        np.savez(file, **arrays)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)


def _load(path: Path, job: Job) -> _Progress:
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = dict(archive)
        facts = json.loads(str(arrays.pop("run")))
        saved, wanted = dict(facts["job"]), job.fingerprint()
        other = [name for name, value in wanted.items() if saved.get(name) != value]
        progress = _Progress(chunk=facts["chunk"], last=facts["last"])
        if not other:
            progress.audit = KnownTargetAudit.from_state(arrays)
    except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is not the state of an audit: {error}") from error
    if other:
        raise InputError(
            f"{path} is the state of another audit: its {other[0]} is not this one's. Another "
            "sampler, target, option or version? Delete the file to start afresh"
        )
    return progress
