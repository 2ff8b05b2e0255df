"""How many draws our audits need to find a zoo entry out."""

from __future__ import annotations

from typing import NamedTuple

from spectheory.audit.run import Job, audit_sampler
from spectheory.audit.stream import StreamAudit
from spectheory.zoo.entry import Sight, ZooEntry
from spectheory.zoo.loop import StreamEntry

REQUESTS = 256
"""Requests decoded side by side under a stream audit."""


class Detection(NamedTuple):
    """What one audit of one entry came to.

    Attributes:
        key: of the entry.
        audit: which audit.
        caught: whether it found out the entry within the draws allowed.
        draws: draws made, or tokens of a stream, when it did or gave up.
        p_bound: upper bound on the p-value.
    """

    key: str
    audit: Sight
    caught: bool
    draws: int
    p_bound: float


def audits_of(one: ZooEntry) -> tuple[Sight, ...]:
    """The audits that can be run on an entry; the stream's lengths are its acceptance."""
    if isinstance(one, StreamEntry):
        return (Sight.MARGINAL, Sight.ACCEPTANCE, Sight.STREAM)
    return (Sight.MARGINAL, Sight.ACCEPTANCE)


def detect(
    one: ZooEntry, audit: Sight, alpha: float = 1e-3, max_draws: int = 1_000_000, seed: int = 0
) -> Detection:
    """Audit an entry on its own case until it is found out or the draws are used up.

    Single-step audits look after 1,024 draws and then whenever the draws have grown by an eighth;
    stream audits after every 256 steps.

    Args:
        one: the entry, mended or not.
        audit: the marginal law of first tokens alone; the marginal law or the acceptance rate
            (for a loop: the tokens a step); or the law of a stream's tokens.
        alpha: false-alarm rate.
        max_draws: draws, or tokens.
        seed: of the draws.

    >>> from spectheory.zoo.entry import entry
    >>> detect(entry("uniform_zero"), Sight.MARGINAL).draws
    1024
    >>> detect(entry("uniform_zero").mend(), Sight.MARGINAL, max_draws=20_000).caught
    False
    """
    if isinstance(one, StreamEntry) and audit is not Sight.MARGINAL:
        return _detect_stream(one, audit, alpha, max_draws, seed)
    target, draft = one.case()
    rate = one.mend().acceptance(target, draft)
    told = audit is Sight.ACCEPTANCE and rate is not None
    job = Job(target, draft, alpha, max_draws, seed, rate if told else None, told)
    report = audit_sampler(one, job)  # type: ignore[arg-type]  # a draft is always there
    return Detection(one.key, audit, report.biased, report.draws, report.p_bound)


def _detect_stream(
    one: StreamEntry, audit: Sight, alpha: float, max_draws: int, seed: int
) -> Detection:
    under = StreamAudit(alpha, one.gamma)
    caught, p_bound = False, 1.0
    for steps in one.decode(REQUESTS, max_draws, seed):
        under.update(steps)
        p_bound = under.p_bound if audit is Sight.STREAM else min(1.0, 2 * under.length.p_bound)
        caught = p_bound <= alpha
        if caught or under.tokens.draws >= max_draws:
            break
    return Detection(one.key, audit, caught, under.tokens.draws, p_bound)
