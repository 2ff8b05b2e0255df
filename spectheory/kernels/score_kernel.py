"""Set-up of the score kernel: groups of tokens take pieces of the score axis, lowest ratio first.

Scores V are uniform on [0, 1]; the highest of k scores is V = v with density ``s(v) = k v^(k-1)``
and wins if it is above the floor u0. A group of tokens with draft mass w and level l (the
accepted mass it may have per draft mass) takes from the free part of the axis a contiguous piece
of length w on which s averages l: the left-curtain coupling. Taken parts are holes; a new piece
starts in the free part left of some hole and swallows the holes up to its end.

Powers are differenced in product form, ``b^k - a^k = (b - a) (a^(k-1) + ... + b^(k-1))``, so that
short pieces keep their digits anywhere on the axis.
"""

from __future__ import annotations

import numpy as np

from spectheory.kernels.compiling import compiled
from spectheory.kernels.iid_value import missed

ATOM = 2.0**-44
"""Least length of a piece set. Runs of tokens with less draft mass share one, at the lowest of
their levels; that costs at most k * ATOM of acceptance in all."""

_ROUNDING = 1.0e-15
"""How far, relatively, a group's mean may be above its level before its floor is raised."""


@compiled(nogil=True)
def power(base: float, exponent: int) -> float:
    """``base ** exponent`` by squaring."""
    result = 1.0
    while exponent > 0:
        if exponent & 1:
            result *= base
        base *= base
        exponent >>= 1
    return result


@compiled(nogil=True)
def chord(a: float, b: float, k: int) -> float:
    """``(b^k - a^k) / (b - a)`` for a, b >= 0, by doubling k: sums of positive terms only."""
    total, power_a, power_b = 1.0, a, b
    bit = 1
    while 2 * bit <= k:
        bit *= 2
    while bit > 1:
        bit >>= 1
        total *= power_a + power_b
        power_a *= power_a
        power_b *= power_b
        if k & bit:
            total = total * b + power_a
            power_a *= a
            power_b *= b
    return total


@compiled(nogil=True)
def area(a: float, b: float, k: int, floor: float) -> float:
    """Integral of ``s(v) 1[v > floor]`` over [a, b]."""
    a = max(a, floor)
    return (b - a) * chord(a, b, k) if b > a else 0.0


@compiled(nogil=True)
def merge(
    mass: np.ndarray,
    level: np.ndarray,
    group: np.ndarray,
    group_mass: np.ndarray,
    group_level: np.ndarray,
) -> int:
    """Gather items, ascending in level, into groups of mass at least `ATOM`; return their number.

    Items of one level share a group. A run of light items becomes a group at its lowest level; a
    run that stays below `ATOM` joins the group before it. Only the first group may be lighter, if
    light items come first; its level is then 0.
    """
    count, run, run_mass = 0, -1, 0.0
    for i in range(mass.shape[0] + 1):
        light = i < mass.shape[0] and mass[i] < ATOM
        if run >= 0 and not light:  # a run ends below ATOM
            if count > 0:
                group_mass[count - 1] += run_mass
                group[run:i] = count - 1
            else:
                group[run:i] = 0
                if run_mass > 0.0:
                    group_mass[0], group_level[0] = run_mass, 0.0
                    count = 1
            run = -1
        if i == mass.shape[0]:
            break
        if run < 0 and count > 0 and level[i] <= group_level[count - 1]:
            group_mass[count - 1] += mass[i]
            group[i] = count - 1
        elif light:
            if run < 0:
                run, run_mass = i, 0.0
            run_mass += mass[i]
            if run_mass >= ATOM:
                group_mass[count], group_level[count] = run_mass, level[run]
                group[run : i + 1] = count
                count += 1
                run = -1
        else:
            group_mass[count], group_level[count] = mass[i], level[i]
            group[i] = count
            count += 1
    return count


@compiled(nogil=True)
def cap_groups(mass: np.ndarray, level: np.ndarray, k: int) -> tuple[float, int]:
    """Optimum over groups: the loss ``1 - alpha``, and the first group whose level the cap reaches.

    Here ``alpha = 1 + min over prefixes of [ sum of level * mass - (sum of mass)^k ]``, and the cap
    c solves ``sum of min(level, c) * mass = alpha``.
    """
    spare = 1.0  # target mass that no group may accept
    for g in range(mass.shape[0]):
        spare -= level[g] * mass[g]
    spare = max(spare, 0.0)
    loss, above, above_mass = spare, spare, 0.0
    for g in range(mass.shape[0] - 1, -1, -1):
        above += level[g] * mass[g]
        above_mass += mass[g]
        if g > 0:
            loss = max(loss, above - missed(above_mass, k))
    loss = min(loss, 1.0)
    cut = mass.shape[0] - 1
    above, above_mass = spare + level[cut] * mass[cut], mass[cut]
    while cut > 0 and above - level[cut - 1] * above_mass < loss:
        cut -= 1
        above += level[cut] * mass[cut]
        above_mass += mass[cut]
    return loss, cut


@compiled(nogil=True)
def _slide(low: float, length: float, goal: float, k: int, floor: float) -> float:
    """Start in [low, 1 - length] of the piece whose area is ``goal``; all right of it is free."""
    start = (goal + power(floor, k)) ** (1.0 / k) - length
    if start > floor and k > 1:
        # The mean of s over a piece is convex in its start and at least s at its middle, so Newton
        # from the start whose middle has s = mean descends to the root without overshooting.
        mean = goal / length
        start = (mean / k) ** (1.0 / (k - 1)) - 0.5 * length
        for _ in range(40):
            end = start + length
            slope = k * (chord(start, end, k - 1) if k > 1 else 0.0)
            step = (chord(start, end, k) - mean) / slope
            start -= step
            if step <= 1e-16:
                break
    return max(min(start, 1.0 - length), low)


@compiled(nogil=True)
def _split(
    right: float, reach: float, edge: float, rest: float, goal: float, k: int, floor: float
) -> float:
    """Length y that a piece takes left of a hole, the remaining ``rest - y`` lying right of it.

    The area over [right - y, right] and [edge, edge + rest - y] is to be ``goal``; it decreases in
    y and is convex, so Newton from the least y ascends to the root without overshooting.
    """
    least, most = max(0.0, edge + rest - 1.0), min(reach, rest)
    if least >= most:
        return most
    flat = max(right - floor, 0.0)  # beyond this length, the left part gains nothing more
    if flat < most:
        left = area(floor, right, k, floor)
        if left + area(edge, edge + rest - flat, k, floor) >= goal:
            end = (max(goal - left, 0.0) + power(max(edge, floor), k)) ** (1.0 / k)
            return max(min(edge + rest - end, most), max(least, flat))
        most = flat
    y = least
    for _ in range(60):
        end = edge + rest - y
        excess = area(right - y, right, k, floor) + area(edge, end, k, floor) - goal
        slope = k * (power(end, k - 1) - power(right - y, k - 1))
        if excess <= 0.0 or slope <= 0.0:
            break
        step = excess / slope
        y = min(y + step, most)
        if step <= 1e-17 or y >= most:
            break
    return y


@compiled(nogil=True)
def curtain(
    mass: np.ndarray, level: np.ndarray, cut: int, k: int, floor: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pieces of the groups before ``cut`` one by one, then of the rest, which take what is left.

    Returns:
        low, high: ends of the pieces; start: ``(cut + 2,)``, where each group's pieces begin.
    """
    low, high = np.empty(3 * cut + 3), np.empty(3 * cut + 3)
    start = np.empty(cut + 2, np.int64)
    hole_low, hole_high = np.empty(cut + 1), np.empty(cut + 1)
    hole_low[0] = hole_high[0] = 0.0  # the left end counts as a hole
    top, used, carry = 0, 0, 0.0
    for g in range(cut):
        start[g] = used
        length = mass[g] + carry  # what rounding took from the groups before
        goal = level[g] * length
        edge = hole_high[top]
        if level[g] == 0.0 or (
            edge + length <= 1.0 and area(edge, edge + length, k, floor) <= goal
        ):
            begin = edge if level[g] == 0.0 else _slide(edge, length, goal, k, floor)
            end = min(begin + length, 1.0)
            if begin > edge:
                top += 1
                hole_low[top] = begin
            hole_high[top] = end
            low[used], high[used] = begin, end
            used += 1
            carry = length - (end - begin)
            continue
        rest, begin, end = length, edge, edge
        while top > 0:
            left, right = hole_high[top - 1], hole_low[top]
            y, gap = 0.0, right - left
            whole = gap < rest
            if whole:
                end = edge + rest - gap
                whole = end > 1.0 or (
                    area(left, right, k, floor) + area(edge, end, k, floor) > goal
                )
            if whole:
                begin, y = left, gap
            else:
                y = _split(right, gap, edge, rest, goal, k, floor)
                begin = max(right - y, left)
                y = right - begin
            if y > 0.0:
                low[used], high[used] = begin, right
                used += 1
                goal -= area(begin, right, k, floor)
                rest -= y
            if begin > left:
                hole_low[top] = begin
                break
            top -= 1
            if not whole:
                break
        end = min(max(edge + rest, edge), 1.0)
        if end > edge:
            low[used], high[used] = edge, end
            used += 1
        hole_high[top] = end
        carry = rest - (end - edge)
    start[cut] = used
    low[used], high[used] = hole_high[top], 1.0
    used += 1
    while top > 0:
        low[used], high[used] = hole_high[top - 1], hole_low[top]
        used += 1
        top -= 1
    start[cut + 1] = used
    return low[:used], high[:used], start


@compiled(nogil=True)
def settle(
    low: np.ndarray,
    high: np.ndarray,
    start: np.ndarray,
    level: np.ndarray,
    k: int,
    floor: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """What each group's pieces really give, whatever the root finding did.

    Returns:
        before: length of a group's pieces before each piece.
        length, floors, mean: ``(groups,)`` total length; score above which the group accepts, u0
            but for groups that would else be above their level; mean of s over the accepted part.
    """
    count = start.shape[0] - 1
    before = np.empty(low.shape[0])
    length, floors, mean = np.zeros(count), np.full(count, floor), np.zeros(count)
    for g in range(count):
        for n in range(start[g], start[g + 1]):
            before[n] = length[g]
            length[g] += high[n] - low[n]
        if length[g] <= 0.0:
            floors[g] = 1.0
            continue
        total = 0.0
        for n in range(start[g], start[g + 1]):
            total += area(low[n], high[n], k, floor)
        goal = level[g] * length[g] * (1.0 + _ROUNDING)
        while total > goal:  # give up what exceeds the goal, from the lowest accepted scores
            lowest, end = 1.0, 1.0
            for n in range(start[g], start[g + 1]):
                if high[n] > floors[g] and max(low[n], floors[g]) < lowest:
                    lowest, end = max(low[n], floors[g]), high[n]
            raised = (power(lowest, k) + total - goal) ** (1.0 / k)
            floors[g] = min(max(raised, np.nextafter(lowest, 2.0)), end)
            total = 0.0
            for n in range(start[g], start[g + 1]):
                total += area(low[n], high[n], k, floors[g])
        mean[g] = total / length[g]
    return before, length, floors, mean


@compiled(nogil=True, error_model="numpy")
def capped_ratios(target: np.ndarray, draft: np.ndarray, k: int) -> np.ndarray:
    """``min(p/q, k)``, which orders the tokens; infinite where the draft never proposes."""
    ratios = np.empty(target.shape[0])
    for x in range(target.shape[0]):
        ratios[x] = min(target[x] / draft[x], float(k)) if draft[x] > 0.0 else np.inf
    return ratios


@compiled(nogil=True)
def group_tokens(
    draft: np.ndarray, order: np.ndarray, ratios: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Group of each token by `merge` (-1: never proposed), and the groups' masses and levels."""
    size = order.shape[0]
    while size > 0 and ratios[order[size - 1]] == np.inf:
        size -= 1
    mass, level = np.empty(size), np.empty(size)
    for i in range(size):
        mass[i], level[i] = draft[order[i]], ratios[order[i]]
    group = np.empty(size, np.int32)
    group_mass, group_level = np.empty(size), np.empty(size)
    count = merge(mass, level, group, group_mass, group_level)
    group_of = np.full(order.shape[0], -1, np.int32)
    for i in range(size):
        group_of[order[i]] = group[i]
    return group_of, group_mass[:count], group_level[:count]


@compiled(nogil=True)
def finish_residual(target: np.ndarray, left: np.ndarray, running: np.ndarray) -> None:
    """Divide ``left`` by its total; where nothing is left, both become those of the target."""
    total = running[-1]
    if total > 0.0:
        scale = 1.0 / total
        for x in range(left.shape[0]):
            left[x] *= scale
    else:
        left[:] = target
        for x in range(left.shape[0]):
            total += target[x]
            running[x] = total


@compiled(nogil=True)
def plan_tokens(
    target: np.ndarray, draft: np.ndarray, order: np.ndarray, ratios: np.ndarray, k: int
) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
    """The exact plan from the tokens in ascending order of `capped_ratios`.

    Python calls this and not its parts: numba's cache mislays the environment of a function that is
    both called from Python and compiled into another cached one.

    Returns:
        masses: accepted mass, residual law, a running total to draw from it by, each ``(V,)``.
        pieces: group of each token, start, low, high, before, length, floor; see `Pieces`.
    """
    group_of, mass, level = group_tokens(draft, order, ratios)
    loss, cut = cap_groups(mass, level, k)
    floor = loss ** (1.0 / k)
    low, high, start = curtain(mass, level, cut, k, floor)
    before, length, floors, mean = settle(low, high, start, level[: cut + 1], k, floor)
    accepted, left = np.empty_like(target), np.empty_like(target)
    running = np.empty_like(target)
    total = 0.0
    for x in range(target.shape[0]):
        accepted[x] = 0.0
        if group_of[x] >= 0:
            group_of[x] = min(group_of[x], cut)
            accepted[x] = min(draft[x] * mean[group_of[x]], target[x])
        left[x] = target[x] - accepted[x]
        total += left[x]
        running[x] = total
    finish_residual(target, left, running)
    masses = (accepted, left, running)
    return masses, (group_of, start, low, high, before, length, floors)
