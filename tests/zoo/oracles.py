"""Output laws of the zoo's single steps, written down once more from their mechanism.

Loops over every outcome on Fractions, with nothing of the package: a target and a draft are lists.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise, product

Law = list[Fraction]


def normalised(masses: Law) -> Law:
    return [m / sum(masses) for m in masses]


def left_over(p: Law, q: Law) -> Law:
    return normalised([max(a - b, Fraction(0)) for a, b in zip(p, q, strict=True)])


def ratio(p: Law, q: Law, x: int) -> Fraction:
    return min(Fraction(1), p[x] / q[x])


def step(
    drafted: Law,
    accept: Callable[[int], Fraction],
    after: Callable[[int], Law],
) -> Law:
    """Draft, accept or replace: the law over everything."""
    law = [Fraction(0)] * len(drafted)
    for x, mass in enumerate(drafted):
        if mass == 0:
            continue
        law[x] += mass * accept(x)
        for y, other in enumerate(after(x)):
            law[y] += mass * (1 - accept(x)) * other
    return law


def mode(law: Law) -> int:
    return max(range(len(law)), key=lambda x: law[x])


def only(x: int, size: int) -> Law:
    return [Fraction(int(y == x)) for y in range(size)]


def without(p: Law, xs: list[int]) -> Law:
    return normalised([Fraction(0) if y in xs else m for y, m in enumerate(p)])


def uniform_zero(p: Law, q: Law) -> Law:
    return q


def ratio_threshold(p: Law, q: Law) -> Law:
    return step(q, lambda x: Fraction(int(2 * p[x] >= q[x])), lambda x: left_over(p, q))


def greedy_draft_soft_q(p: Law, q: Law) -> Law:
    drafted = only(mode(q), len(q))
    return step(drafted, lambda x: ratio(p, q, x), lambda x: left_over(p, q))


def draft_law_lost(p: Law, q: Law) -> Law:
    return step(q, lambda x: p[x], lambda x: without(p, [x]))


def residual_is_target(p: Law, q: Law) -> Law:
    return step(q, lambda x: ratio(p, q, x), lambda x: p)


def one_hot_residual(p: Law, q: Law) -> Law:
    return step(q, lambda x: ratio(p, q, x), lambda x: without(p, [x]))


def philox_word_twice(p: Law, q: Law) -> Law:
    """The uniform is cut at every accept probability and every edge of the running sum."""
    r = left_over(p, q)
    edges = [sum(r[:y], Fraction(0)) for y in range(len(r) + 1)]
    cuts = sorted({*edges, *(ratio(p, q, x) for x in range(len(q)))})
    law = [Fraction(0)] * len(p)
    for x, mass in enumerate(q):
        for low, high in pairwise(cuts):
            middle = (low + high) / 2
            inside = [y for y in range(len(r)) if edges[y] <= middle < edges[y + 1]]
            out = x if middle < ratio(p, q, x) else inside[0]
            law[out] += mass * (high - low)
    return law


def threshold_acc(p: Law, q: Law) -> Law:
    """Four siblings by falling draft mass, with threshold 0.9."""
    return _walk(p, q, lambda s, x: min(Fraction(1), s / Fraction(9, 10)))


def threshold_single(p: Law, q: Law) -> Law:
    """Four siblings, one of target mass 0.3 or more always taken."""
    return _walk(p, q, lambda s, x: Fraction(1) if p[x] >= Fraction(3, 10) else s)


def _walk(p: Law, q: Law, level: Callable[[Fraction, int], Fraction]) -> Law:
    siblings = sorted(range(len(q)), key=lambda x: (-q[x], x))[:4]
    law, reached, mass = [Fraction(0)] * len(p), Fraction(0), Fraction(0)
    for x in siblings:
        mass += p[x]
        top = max(reached, level(mass, x))
        law[x] += top - reached
        reached = top
    if reached < 1:
        for y, m in enumerate(without(p, siblings)):
            law[y] += (1 - reached) * m
    return law


def independent_retries(p: Law, q: Law) -> Law:
    """Four target samples compared with the draft's mode, then a fifth."""
    x, law = mode(q), [Fraction(0)] * len(p)
    for rows in product(range(len(p)), repeat=4):
        mass = Fraction(1)
        for y in rows:
            mass *= p[y]
        if x in rows:
            law[x] += mass
        else:
            for y, m in enumerate(p):
                law[y] += mass * m
    return law


def mismatch_redrawn(p: Law, q: Law) -> Law:
    law = [Fraction(0)] * len(p)
    for x, sample, again in product(range(len(p)), repeat=3):
        law[sample if x == sample else again] += q[x] * p[sample] * p[again]
    return law


def censored_drafts(p: Law, q: Law) -> Law:
    """Drafts of probability below 1 % are dropped."""
    law = [Fraction(0)] * len(p)
    for x, mass in enumerate(q):
        if 100 * mass < 1:
            for y, m in enumerate(p):
                law[y] += mass * m
        else:
            law[x] += mass * ratio(p, q, x)
            for y, m in enumerate(left_over(p, q)):
                law[y] += mass * (1 - ratio(p, q, x)) * m
    return law


def _against(read: Law, q: Law) -> Law:
    """All of verification reads another law."""
    return step(q, lambda x: ratio(read, q, x), lambda x: left_over(read, q))


def _with_tail(p: Law, q: Law, tail: Fraction) -> Law:
    """``tail`` of the mass moved to what p rules out, spread like q."""
    outside = sum(b for a, b in zip(p, q, strict=True) if a == 0)
    if outside == 0:
        return p
    return [(1 - tail) * a + tail * b * (a == 0) / outside for a, b in zip(p, q, strict=True)]


def grammar_ignored(p: Law, q: Law) -> Law:
    """A tenth of the model's mass lies on what the grammar rules out."""
    read = _with_tail(p, q, Fraction(1, 10))
    return step(q, lambda x: ratio(read, q, x), lambda x: left_over(p, q))


def top_p_ignored(p: Law, q: Law) -> Law:
    """A twentieth lies outside the nucleus."""
    return _against(_with_tail(p, q, Fraction(1, 20)), q)


def top_k_ties(p: Law, q: Law) -> Law:
    """The draft's top three tokens outside the support tie with the least one inside."""
    outside = sorted((x for x in range(len(p)) if p[x] == 0), key=lambda x: (-q[x], x))[:3]
    least = min(a for a in p if a > 0)
    return _against(normalised([least if x in outside else a for x, a in enumerate(p)]), q)


def residual_misaligned(p: Law, q: Law) -> Law:
    """Lists of (token, mass), subtracted place by place."""
    mine = [(x, a) for x, a in enumerate(p) if a > 0]
    theirs = [b for b in q if b > 0] + [Fraction(0)] * len(p)
    masses = [Fraction(0)] * len(p)
    for (x, a), b in zip(mine, theirs, strict=False):
        masses[x] = max(a - b, Fraction(0))
    return step(q, lambda x: ratio(p, q, x), lambda x: normalised(masses))


ORACLES: dict[str, Callable[[Law, Law], Law]] = {
    f.__name__: f
    for f in (
        uniform_zero,
        ratio_threshold,
        greedy_draft_soft_q,
        draft_law_lost,
        residual_is_target,
        residual_misaligned,
        one_hot_residual,
        philox_word_twice,
        threshold_acc,
        threshold_single,
        independent_retries,
        mismatch_redrawn,
        censored_drafts,
        grammar_ignored,
        top_p_ignored,
        top_k_ties,
    )
}
