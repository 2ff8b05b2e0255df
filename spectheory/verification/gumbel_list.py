"""Gumbel list coupling: drafts and output read off the same exponential clocks.

Slot j has a clock ``S_j(x) ~ Exp(1)`` for every token. The draft is ``X_j = argmin S_j / q_j`` and
the output ``Y = argmin_x min_j S_j(x) / p(x)``. The output, given the noise, does not depend on the
draft laws at all: the coupling is drafter-invariant. `shared_noise` runs it so. `GumbelList` is the
same joint law seen from the drafts: the law of Y given X_1..X_k, as a Verdict.

Derivation of the conditional law. Given ``X_j = x``, ``T = S_j(x) / q(x)`` is Exp(1), and every
other clock is ``q(i) T`` plus a fresh exponential. With ``r = p / q`` and ``M(s) = sum_i max(p(i),
q(i) s)``, the chance that no clock of the slot has fired by time t is

    phi(t) = t * integral over s > r(x) of exp(-t M(s)) ds.

M is piecewise linear with slope ``Q(s) = q{i : r(i) <= s}``, so phi is a sum over the sorted ratios
of ``(exp(-t M_m) - exp(-t M_{m+1})) / Q_m``. Slot j makes Y = y at rate ``p(y)`` times the same
integral over ``r(x) < s < r(y)`` for y != x, and at rate ``r(x) exp(-t M(r(x)))`` for y = x; the
other slots must not have fired. The integral over t is a rational number on Fractions, and a
quadrature on floats.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, NamedTuple

import numpy as np

from spectheory.arrays import (
    Array,
    constant,
    is_exact,
    is_token,
    namespace,
    on_host,
    pick,
    places,
    running_sum,
    sum_behind,
)
from spectheory.distributions import normalise
from spectheory.drafting.scheme import slot_law
from spectheory.errors import InputError
from spectheory.verdict import Verdict
from spectheory.verification.rule import Rates, VerificationRule, among, unique_slots

LAW_STEP, RATE_STEP, COARSE_STEP = 0.125, 0.25, 0.4
"""Trapezoid steps of the time integral: errors of about 1e-13 in a law, 1e-11 in a rate, and 1e-9
in a rate over more than `FEW` tokens."""

FEW = 1_000

UNSEEN = 1e-13
"""Tokens of the highest ratios that are drafted less often than this together (times 1e4 over more
than `FEW` tokens) do not set the time scale of a rate: they add no more to it than that."""

UNFELT = 1e13
"""Costs above this do not set the time scale of a law: what fires at such a rate, and was not
drafted, adds no more to it than 1 / cost."""

CAP = 1e150
"""Largest ratio p / q that is told from larger ones."""


@dataclass(frozen=True)
class GumbelList(VerificationRule):
    """The law of the shared-noise output given the drafts it was coupled with.

    Acceptance ``sum_y p(y) E[1 - (1 - exp(-t (M(r(y)) - 1))) (1 - A_y(t))^(k-1)]`` with
    ``t ~ Exp(k)`` and ``A_y(t) = q(y) exp(t) phi(t; s > r(y))``, a quadrature of error 1e-9; for
    k = 1 it is ``sum_y p(y) / M(r(y)) >= (1 - TV) / (1 + TV)``. Not optimal, but independent of
    the drafter.

    Reference: rowan2025list, Algorithm 1; daliri2024coupling for k = 1.

    >>> p, q = np.array([0.5, 0.5]), np.array([0.25, 0.75])
    >>> round(float(GumbelList().rates(p, q, 1).acceptance), 12)
    0.75
    """

    key: ClassVar[str] = "gumbel_list"
    reference: ClassVar[str] = "rowan2025list"
    maximal_at_one: ClassVar[bool] = False
    lossless_under: ClassVar[tuple[str, ...]] = ("iid", "heterogeneous")

    def _verdict(self, target: Array, draft: Array, drafts: Array) -> Verdict:
        xp = namespace(target, draft)
        law = (_exact_law if is_exact(target) else _law)(target, draft, drafts)
        masses = [pick(law, drafts[..., i]) for i in range(drafts.shape[-1])]
        mass = xp.stack(masses, axis=-1)
        mass = xp.where(unique_slots(drafts), mass, mass * 0)
        elsewhere = xp.where(among(drafts, law), law * 0, law)
        return Verdict.from_masses(drafts, mass, normalise(elsewhere, fallback=target + law * 0))

    def _rates(self, target: Array, draft: Array, k: int, scheme: str) -> Rates | None:
        if is_exact(target):
            return None
        xp = namespace(target, draft)
        laws = draft if scheme == "heterogeneous" else draft[..., None, :]
        race = _Race.of(target[..., None, :], laws)
        if k == 1:
            weight = xp.take_along_axis(target[..., None, :] + 0 * laws, race.order, axis=-1)
            hit = xp.sum(weight / race.cost, axis=-1)[..., 0]
            return Rates(hit, hit)
        from spectheory.kernels.list_race import list_acceptance

        ranked = xp.take_along_axis(laws + 0 * target[..., None, :], race.order, axis=-1)
        size = race.order.shape[-1]
        unseen = UNSEEN if size <= FEW else 1e4 * UNSEEN
        seen = (sum_behind(ranked) + ranked > unseen) & (race.cost < xp.inf)
        fastest = float(xp.max(xp.where(seen, race.cost, xp.ones_like(race.cost))))
        batch = race.order.shape[:-2]
        slots, p = (
            np.ascontiguousarray(np.broadcast_to(on_host(a), (*batch, n, size))).reshape(
                -1, n, size
            )
            for a, n in ((laws, laws.shape[-2]), (target[..., None, :], 1))
        )
        order, cost, slope = (
            np.ascontiguousarray(on_host(a)).reshape(slots.shape)
            for a in (race.order, race.cost, race.slope)
        )
        # In units of 1 / k: the integrand falls off as exp(-k t).
        nodes = _time_nodes(fastest, RATE_STEP if size <= FEW else COARSE_STEP)
        nodes = [(time / k, weight / k) for time, weight in nodes]
        hit = list_acceptance(p[:, 0], slots, order, cost, slope, k, nodes)
        hit = constant(hit.reshape(batch), target)
        return Rates(hit, hit)


def shared_noise(target: Array, draft: Array, uniforms: Array) -> tuple[Array, Array]:
    """Run the coupling: drafts and output from one block of noise.

    Args:
        target: ``(..., V)``.
        draft: ``(..., V)``, or ``(..., k, V)``, one law a slot.
        uniforms: ``(..., k, V)`` float64 in [0, 1), one for each clock.

    Returns:
        ``(..., k)`` drafts and ``(...)`` outputs. For given uniforms the outputs are the same
        whatever the draft laws.

    Raises:
        InputError: uniforms of another type. One float32 in 2^24 is 0, and a clock at 0 fires
            first however rare its token: at V = 128,000 and k = 4 that was 3 % of outputs.

    >>> u = np.array([[0.3, 0.6], [0.5, 0.1]])
    >>> p = np.array([0.5, 0.5])
    >>> [int(shared_noise(p, np.array(q), u)[1]) for q in ([0.1, 0.9], [0.8, 0.2])]
    [1, 1]
    """
    xp = namespace(target, draft)
    if uniforms.dtype != xp.float64:
        raise InputError(f"`uniforms` has dtype {uniforms.dtype}; expected float64")
    clocks = -xp.log1p(-uniforms)
    laws = draft if draft.ndim == uniforms.ndim else draft[..., None, :]
    never = xp.inf * xp.ones_like(clocks)
    drafts = xp.argmin(
        xp.where(laws > 0, clocks / xp.where(laws > 0, laws, laws + 1), never), axis=-1
    )
    first = xp.min(clocks, axis=-2)
    positive = target > 0
    arrival = xp.where(positive, first / xp.where(positive, target, target + 1), never[..., 0, :])
    return drafts, xp.argmin(arrival, axis=-1)


Exponentials = dict[Fraction, Fraction]
"""The function ``sum c exp(-M t)`` as ``{M: c}``."""


class _Race(NamedTuple):
    """A target/draft pair sorted by ascending ratio r = p / q.

    order ``(..., V)`` tokens; level ``(..., V)`` r (infinite where q = 0); cost M at each r; slope
    Q just above each r; gap: cost of the next r minus this one's (infinite at the last).
    """

    order: Array
    level: Array
    cost: Array
    slope: Array
    gap: Array

    @classmethod
    def of(cls, target: Array, draft: Array) -> _Race:
        xp = namespace(target, draft)
        target, draft = (xp.astype(law, xp.float64) for law in (target, draft))
        positive = draft > 0
        infinite = xp.inf * xp.ones_like(draft)
        # Divided by what keeps the ratio within a float.
        enough = xp.maximum(xp.where(positive, draft, draft + 1), target / CAP)
        level = xp.where(positive, target / enough, infinite)
        order = xp.argsort(level, axis=-1, stable=True)
        level, p, q = (
            xp.take_along_axis(a + 0 * target, order, axis=-1) for a in (level, target, draft)
        )
        finite = level < xp.inf
        slope = running_sum(q)
        above = sum_behind(p)
        safe = xp.where(finite, level, xp.zeros_like(level))
        cost = xp.where(finite, above + safe * slope, xp.inf * xp.ones_like(level))
        following = xp.concat([safe[..., 1:], safe[..., -1:]], axis=-1)
        last = xp.concat([xp.logical_not(finite[..., 1:]), finite[..., -1:] | True], axis=-1)
        gap = xp.where(last, xp.inf * xp.ones_like(level), slope * (following - safe))
        return cls(order, level, cost, slope, gap)


def _pieces(race: _Race, time: Array | float) -> Array:
    """``(..., V)``: the piece of phi between each sorted ratio and the next."""
    xp = namespace(race.cost)
    usable = (race.slope > 0) & (race.cost < xp.inf)
    cost = xp.where(usable, race.cost, xp.zeros_like(race.cost))
    slope = xp.where(usable, race.slope, xp.ones_like(race.slope))
    piece = xp.exp(-time * cost) * -xp.expm1(-time * race.gap) / slope
    return xp.where(usable, piece, xp.zeros_like(piece))


def _time_nodes(fastest: float, step: float) -> list[tuple[float, float]]:
    """Nodes and weights for an integral over t > 0 with features from t = 1 / fastest to t = 1.

    Trapezoid in x for ``t = exp(x - exp(-x)) / fastest``: double-exponential decay to the left, and
    to the right by the integrand's own exp(-t).
    """
    count = math.ceil((3.75 + math.log(45.0 * fastest)) / step)
    xs = [-3.75 + step * n for n in range(count + 1)]
    times = [math.exp(x - math.exp(-x)) / fastest for x in xs]
    return [(t, step * t * (1 + math.exp(-x))) for x, t in zip(xs, times, strict=True)]


def _law(target: Array, draft: Array, drafts: Array) -> Array:
    """``(..., V)`` law of Y given the drafts, by quadrature; error about 1e-12."""
    xp = namespace(target, draft)
    k = drafts.shape[-1]
    batch = np.broadcast_shapes(
        tuple(target.shape[:-1]),
        tuple(slot_law(draft, drafts, 0).shape[:-1]),
        tuple(drafts.shape[:-1]),
    )
    shape = (*batch, target.shape[-1])
    target = xp.astype(xp.broadcast_to(target, shape), xp.float64)
    slots = []
    fastest = 1.0
    for j in range(k):
        token = xp.broadcast_to(drafts[..., j], batch)
        race = _Race.of(target, xp.broadcast_to(slot_law(draft, drafts, j), shape))
        back = xp.argsort(race.order, axis=-1)
        place = pick(back, token)[..., None]
        cost = xp.take_along_axis(race.cost, place, axis=-1)
        level = xp.take_along_axis(race.level, place, axis=-1)
        beyond = places(target) >= place
        slots.append((race, back, cost, level, beyond, is_token(token, target)))
        felt = xp.where(race.cost < UNFELT, race.cost, xp.ones_like(race.cost))
        fastest = max(fastest, float(xp.max(cost)), float(xp.max(felt)))
    law = xp.zeros_like(target)
    for time, step in _time_nodes(fastest, LAW_STEP):
        survive, fire = [], []
        for race, back, cost, level, beyond, own in slots:
            pieces = _pieces(race, time)
            pieces = xp.where(beyond, pieces, xp.zeros_like(pieces))
            through = running_sum(pieces)
            survive.append(through[..., -1:])
            rate = target * xp.take_along_axis(through - pieces, back, axis=-1)
            fire.append(xp.where(own, level * xp.exp(-time * cost), rate))
        for j in range(k):
            others = xp.ones_like(survive[0])
            for other in survive[:j] + survive[j + 1 :]:
                others = others * other
            law = law + step * others * fire[j]
    return law


def _exact_law(target: Array, draft: Array, drafts: Array) -> Array:
    """`_law` on Fractions: every time integral is a sum of ``c / (M_1 + .. + M_k)``."""
    batch = np.broadcast_shapes(target.shape[:-1], drafts.shape[:-1])
    size, k = target.shape[-1], drafts.shape[-1]
    targets = np.broadcast_to(target, (*batch, size)).reshape(-1, size)
    tuples = np.broadcast_to(drafts, (*batch, k)).reshape(-1, k)
    per_slot = draft.ndim == drafts.ndim + 1
    laws = draft if per_slot else np.broadcast_to(draft[..., None, :], (*draft.shape[:-1], k, size))
    laws = np.broadcast_to(laws, (*batch, k, size)).reshape(-1, k, size)
    rows = [_exact_row(p, q, x) for p, q, x in zip(targets, laws, tuples.tolist(), strict=True)]
    return np.array(rows, dtype=object).reshape(*batch, size)


def _exact_row(target: Array, laws: Array, drafts: list[int]) -> list[Fraction]:
    slots = [_ExactSlot.of(target, law, x) for law, x in zip(laws, drafts, strict=True)]
    out = [Fraction(0)] * target.shape[-1]
    for j, slot in enumerate(slots):
        others: Exponentials = {Fraction(0): Fraction(1)}
        for other in slots[:j] + slots[j + 1 :]:
            others = _product(others, other.survive)
        for y, fire in enumerate(slot.fire):
            terms = _product(others, fire)
            out[y] += sum((c / m for m, c in terms.items()), Fraction(0))
    return out


class _ExactSlot(NamedTuple):
    """One slot's chance of no clock having fired by t, and the rate at which each token fires."""

    survive: Exponentials
    fire: list[Exponentials]

    @classmethod
    def of(cls, target: Array, law: Array, token: int) -> _ExactSlot:
        level = [p / q if q > 0 else None for p, q in zip(target, law, strict=True)]
        start = target[token] / law[token]
        fire = []
        for y, p in enumerate(target):
            if y == token:
                fire.append({_cost(target, law, start): start})
            else:
                between = _between(target, law, level, start, level[y])
                fire.append({m: p * c for m, c in between.items()})
        return cls(_between(target, law, level, start, None), fire)


def _product(left: Exponentials, right: Exponentials) -> Exponentials:
    product: Exponentials = {}
    for m, c in left.items():
        for n, d in right.items():
            product[m + n] = product.get(m + n, Fraction(0)) + c * d
    return product


def _cost(target: Array, law: Array, level: Fraction) -> Fraction:
    return sum((max(p, q * level) for p, q in zip(target, law, strict=True)), Fraction(0))


def _between(
    target: Array,
    law: Array,
    level: list[Fraction | None],
    start: Fraction,
    stop: Fraction | None,
) -> Exponentials:
    """``t * integral over start < s < stop of exp(-t M(s)) ds``; a stop of None is infinity."""
    inside = {r for r in level if r is not None and r > start and (stop is None or r < stop)}
    knots: list[Fraction | None] = [*sorted({start, *inside}), stop]
    sums: Exponentials = {}
    for here, there in itertools.pairwise(knots):
        if here is None or (there is not None and there <= here):
            continue
        slope = Fraction(0)
        for q, r in zip(law, level, strict=True):
            slope += q if r is not None and r <= here else 0
        for knot, sign in ((here, 1), (there, -1)):
            if knot is not None:
                cost = _cost(target, law, knot)
                sums[cost] = sums.get(cost, Fraction(0)) + sign / slope
    return sums
