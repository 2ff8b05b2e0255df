"""The acceptance of any rule at any size: closed form, else enumeration, else sampled drafts."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import numpy as np

from spectheory.audit.enumeration import enumerate_rule
from spectheory.drafting.scheme import DraftScheme
from spectheory.verification.rule import Rates, VerificationRule

ENUMERATED = 20_000
"""Up to this many draft tuples are enumerated before sampling is considered."""

BLOCK = 1 << 18
"""Positions go through closed forms in blocks of about this many numbers, which stay in cache."""

T = TypeVar("T")


class MeasuredRates(NamedTuple):
    """Acceptances by position, with how they were obtained.

    Attributes:
        acceptance: ``(n,)`` P(output is one of the drafts).
        ladder: ``(n,)`` P(the accept ladder fires).
        error: ``(n,)`` standard error of the acceptance; 0 where it is computed, not sampled.
        method: "closed form", "enumeration", "sampling", or "exact ladder": only the residual's
            hits on drafts are sampled.
    """

    acceptance: np.ndarray
    ladder: np.ndarray
    error: np.ndarray
    method: str


def measure_rates(
    rule: VerificationRule,
    scheme: DraftScheme,
    target: np.ndarray,
    draft: np.ndarray,
    k: int,
    *,
    draws: int = 16,
    seed: int = 0,
    threads: int = 1,
) -> MeasuredRates:
    """Acceptances of a rule at many positions.

    Sampling draws only the drafts: given them the verdict's acceptance is exact, so the standard
    error is that of the drafts' share alone. Where the rule has a plan, its ladder is exact, and
    what is left to sample is acceptance less ladder: nothing for one draft or an optimal plan.

    Args:
        target: ``(n, V)``.
        draft: ``(n, V)``, or ``(n, k, V)`` for a per-slot scheme.
        k: number of drafts.
        draws: draft tuples a position where sampling is needed.
        seed: of the draft tuples; positions use independent streams.
        threads: blocks of positions worked on at once; the numbers do not depend on it.

    Raises:
        SchemeMismatch: the rule does not cover k drafts of that scheme.
        InputError: bad laws.

    >>> from spectheory import rule, scheme
    >>> p, q = np.array([[0.3, 0.4, 0.3]]), np.array([[0.6, 0.3, 0.1]])
    >>> measured = measure_rates(rule("k_seq"), scheme("iid"), p, q, 2)
    >>> measured.acceptance.round(9).tolist(), measured.method
    ([0.84], 'closed form')
    """
    scheme.check(draft, k)
    n, size = target.shape
    rows = max(1, BLOCK // (size * (k if scheme.per_slot else 1)))

    def closed_form(start: int) -> Rates | None:
        here = slice(start, start + rows)
        return rule.rates(target[here], draft[here], k, scheme.key)

    first = closed_form(0)
    if first is not None:
        blocks = [first, *map_threads(closed_form, range(rows, n, rows), threads)]
        acceptance, ladder = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
        return MeasuredRates(acceptance, ladder, np.zeros(n), "closed form")
    if size**k <= ENUMERATED:
        exact = [enumerate_rule(rule, scheme, target[i], draft[i], k) for i in range(n)]
        acceptance, ladder = (np.array([getattr(e, a) for e in exact]) for a in Rates._fields)
        return MeasuredRates(acceptance, ladder, np.zeros(n), "enumeration")
    return _sampled(rule, scheme, target, draft, k, draws, seed, threads)


def map_threads(work: Callable[[int], T], items: range, threads: int) -> list[T]:
    """``[work(i) for i in items]``, ``threads`` at a time; NumPy and the kernels free the lock."""
    if threads == 1 or len(items) < 2:
        return [work(i) for i in items]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, items))


def _sampled(
    rule: VerificationRule,
    scheme: DraftScheme,
    target: np.ndarray,
    draft: np.ndarray,
    k: int,
    draws: int,
    seed: int,
    threads: int,
) -> MeasuredRates:
    n = target.shape[0]
    streams = np.random.SeedSequence(seed).spawn(n)

    def one_position(i: int) -> tuple[np.ndarray, np.ndarray, str]:
        tape = np.random.default_rng(streams[i]).random((draws, scheme.tape_length(k)))
        drafts = scheme.sample(draft[i : i + 1], k, tape)
        plan = rule.plan(target[i], draft[i], k)
        if plan is None:
            verdict = rule.verdict(target[i : i + 1], draft[i : i + 1], drafts)
            return verdict.acceptance(), verdict.ladder(), "sampling"
        verdict = plan.verdict(drafts)
        ladder = np.full(draws, plan.value)
        return ladder + (verdict.acceptance() - verdict.ladder()), ladder, "exact ladder"

    # The first position runs alone: it compiles what there is to compile.
    positions = [one_position(0), *map_threads(one_position, range(1, n), threads)]
    acceptance, ladder = (np.stack([p[part] for p in positions]) for part in (0, 1))
    error = acceptance.std(axis=1, ddof=1) / np.sqrt(draws) if draws > 1 else np.full(n, np.nan)
    return MeasuredRates(acceptance.mean(axis=1), ladder.mean(axis=1), error, positions[0][2])
