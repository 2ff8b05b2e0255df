"""Compiled optimum of i.i.d. drafts: bracket by histogram, refine the bracket, certify.

Everything is kept as tails, the masses p(T) and q(T) of the tokens *outside* a prefix H, because
the loss 1 - alpha* = max over H of p(T) - (1 - (1 - q(T))^k) is then a difference of small numbers
where the draft covers the target well.
"""

from __future__ import annotations

import math

import numpy as np

from spectheory.kernels.compiling import compiled
from spectheory.kernels.ratio_histogram import histogram
from spectheory.kernels.sorting import sort_pairs

SLACK = 4.0e-16
"""A bin that cannot beat the best boundary by more than this, a few roundings, is left alone."""

_BLOCK = 512


@compiled(nogil=True)
def missed(tail: float, k: int) -> float:
    """``1 - (1 - tail)^k`` to full relative precision."""
    tail = min(max(tail, 0.0), 1.0)
    if k > 32:
        return 1.0 if tail >= 1.0 else -math.expm1(k * math.log1p(-tail))
    terms = 1.0
    for _ in range(k - 1):
        terms = 1.0 + (1.0 - tail) * terms
    return tail * terms


@compiled(nogil=True, fastmath={"reassoc", "nsz"})
def normalise_into(law: np.ndarray, out: np.ndarray) -> tuple[float, float]:
    """Write ``law`` divided by its sum to ``out``; return the sum and the lowest entry."""
    total, lowest = 0.0, law[0]
    for start in range(0, law.shape[0], _BLOCK):
        block = law[start : start + _BLOCK]
        part = 0.0
        for x in block:
            part += x
            lowest = min(lowest, x)
        total += part
    scale = 1.0 / total if total != 0.0 else 0.0
    for i in range(law.shape[0]):
        out[i] = law[i] * scale
    return total, lowest


@compiled(nogil=True)
def scan(mass: np.ndarray, edges: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Tails above each bin, a bound on each bin's inner losses, and the best bin boundary.

    Args:
        mass: ``(bins + 3, 2)`` target and draft mass of each bin, each column with sum 1.
        edges: ``(bins + 3,)`` in the same units.

    Returns:
        tail: ``(bins + 3, 2)`` mass of the bins above each bin.
        inner: ``(bins + 2,)`` no prefix that ends inside the bin has a larger loss. Inside, the
            Lorenz curve lies above the two lines of slope edges[j] and edges[j + 1] through its
            ends, and loss is convex along a line, so their crossing or an end is the worst.
        best: bin whose lower boundary has the largest loss.
    """
    last = mass.shape[0] - 1
    tail = np.empty_like(mass)
    inner = np.full(last, -1.0)
    tail[last] = 0.0
    above_p, above_q = mass[last, 0], 0.0
    best, best_loss = 0, 0.0  # the empty prefix
    for j in range(last - 1, -1, -1):
        tail[j, 0], tail[j, 1] = above_p, above_q
        p, q = mass[j, 0], mass[j, 1]
        if q == 0.0:
            continue
        low, high = edges[j], edges[j + 1]
        if j < last - 1:
            upper = min(max((p - low * q) / (high - low), 0.0), q)
            inner[j] = above_p + high * upper - missed(above_q + upper, k)
        above_p += p
        above_q += q
        loss = above_p - missed(above_q, k)
        if loss > best_loss and j > 0:
            best, best_loss = j, loss
    top = mass[last, 0] - missed(0.0, k)  # the prefix of all tokens the draft may propose
    if top >= best_loss:
        best, best_loss = last, top
    return tail, inner, best


@compiled(nogil=True, error_model="numpy")
def _ascending(
    target: np.ndarray, draft: np.ndarray, bin_of: np.ndarray, wanted: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Tokens of the wanted bins and their ratios, in ascending order of the ratio."""
    end = np.zeros(wanted.shape[0] + 1, np.int64)
    for bin_ in bin_of:
        end[bin_ + 1] += wanted[bin_]
    for bin_ in range(wanted.shape[0]):
        end[bin_ + 1] += end[bin_]
    start = end.copy()
    tokens, ratios = np.empty(end[-1], np.int64), np.empty(end[-1])
    for token in range(bin_of.shape[0]):
        bin_ = bin_of[token]
        if wanted[bin_]:
            tokens[start[bin_]] = token
            ratios[start[bin_]] = target[token] / draft[token]
            start[bin_] += 1
    for bin_ in range(wanted.shape[0]):
        if end[bin_ + 1] > end[bin_]:
            sort_pairs(ratios[end[bin_] : end[bin_ + 1]], tokens[end[bin_] : end[bin_ + 1]])
    return tokens, ratios


@compiled(nogil=True, error_model="numpy")
def _refine(
    target: np.ndarray,
    draft: np.ndarray,
    unit: tuple[float, float],
    bin_of: np.ndarray,
    tail: np.ndarray,
    wanted: np.ndarray,
    k: int,
    best_loss: float,
    witness: float,
) -> tuple[float, float]:
    """Largest loss over the prefixes that end inside the wanted bins, if above ``best_loss``."""
    tokens, ratios = _ascending(target, draft, bin_of, wanted)
    at = -1
    above_p = above_q = 0.0
    for n in range(tokens.shape[0] - 1, -1, -1):
        token = tokens[n]
        if bin_of[token] != at:
            at = bin_of[token]
            above_p, above_q = tail[at, 0], tail[at, 1]
        above_p += target[token] * unit[0]
        above_q += draft[token] * unit[1]
        loss = above_p - missed(above_q, k)
        if loss > best_loss:
            if n > 0 and ratios[n - 1] == ratios[n]:
                continue  # tied tokens go together: loss is convex along a tie
            best_loss = loss
            witness = np.nextafter(ratios[n], 0.0) if ratios[n] > 0.0 else -1.0
    return best_loss, witness


@compiled(nogil=True, error_model="numpy")
def _solve_cap(
    target: np.ndarray,
    draft: np.ndarray,
    unit: tuple[float, float],
    bin_of: np.ndarray,
    mass: np.ndarray,
    tail: np.ndarray,
    edges: np.ndarray,
    k: int,
    loss: float,
) -> float:
    """Root c of sum (p - c q)_+ = loss, tokens the draft never proposes included."""
    at = mass.shape[0] - 2
    while at > 0:
        excess = tail[at, 0] + mass[at, 0] - edges[at] * (tail[at, 1] + mass[at, 1])
        if mass[at, 1] > 0.0 and excess >= loss:
            break
        at -= 1
    wanted = np.zeros(mass.shape[0], np.bool_)
    wanted[at] = True
    tokens, _ = _ascending(target, draft, bin_of, wanted)
    above_p, above_q = tail[at, 0], tail[at, 1]
    low = edges[at]
    for n in range(tokens.shape[0] - 1, -1, -1):
        p, q = target[tokens[n]] * unit[0], draft[tokens[n]] * unit[1]
        if above_q > 0.0 and above_p - (p / q) * above_q >= loss:
            low = p / q
            break
        above_p += p
        above_q += q
    # Where the capped tokens have next to no draft mass the quotient is all rounding, but c is
    # known to be at least the next ratio, and an error in it then moves next to no mass.
    return min(max((above_p - loss) / above_q, low), float(k))


@compiled(nogil=True, error_model="numpy", fastmath={"reassoc", "nsz", "contract"})
def _certify(
    target: np.ndarray, draft: np.ndarray, slope: float, witness: float
) -> tuple[float, float, float]:
    """Sum of min(p, slope q), and the masses outside {q > 0, p/q <= witness}; in input units.

    Blocks of partial sums keep the rounding at that of a pairwise sum.
    """
    accepted = outside_p = outside_q = 0.0
    for start in range(0, target.shape[0], _BLOCK):
        stop = min(start + _BLOCK, target.shape[0])
        p, q = target[start:stop], draft[start:stop]
        part = part_p = part_q = 0.0
        for i in range(stop - start):
            part += min(p[i], slope * q[i])
            inside = q[i] > 0.0 and p[i] / q[i] <= witness
            part_p += 0.0 if inside else p[i]
            part_q += 0.0 if inside else q[i]
        accepted += part
        outside_p += part_p
        outside_q += part_q
    return accepted, outside_p, outside_q


@compiled(nogil=True, error_model="numpy")
def optimum_rows(
    targets: np.ndarray,
    drafts: np.ndarray,
    k: int,
    shift: int,
    base: int,
    edges: np.ndarray,
    found: np.ndarray,
) -> float:
    """Fill ``found`` (rows, 5: primal, loss, cap, witness, row sums off); return the lowest entry.

    Args:
        targets, drafts: ``(rows, V)`` float64.
        shift, base, edges: see `ratio_histogram.layout`.
    """
    lowest = 0.0
    bin_of = np.empty(targets.shape[1], np.uint16)
    mass = np.empty((edges.shape[0], 2))
    for row in range(targets.shape[0]):
        p, q = targets[row], drafts[row]
        lowest = min(lowest, histogram(p, q, shift, base, bin_of, mass))
        total_p, total_q = mass[:, 0].sum(), mass[:, 1].sum()
        found[row, 4] = abs(total_p - 1.0) + abs(total_q - 1.0)  # NaN if either is
        if not (found[row, 4] < 1e-3 and lowest >= 0.0):
            return lowest if lowest < 0.0 else -np.inf
        unit = (1.0 / total_p, 1.0 / total_q)
        mass[:, 0] *= unit[0]
        mass[:, 1] *= unit[1]
        levels = edges * (unit[0] / unit[1])
        tail, inner, best = scan(mass, levels, k)
        last = mass.shape[0] - 1
        best_p, best_q = mass[last, 0], 0.0
        if best < last:
            best_p, best_q = tail[best, 0] + mass[best, 0], tail[best, 1] + mass[best, 1]
        loss = best_p - missed(best_q, k) if best > 0 else 0.0
        witness = np.nextafter(edges[best], 0.0) if best > 0 else -1.0
        wanted = np.zeros(mass.shape[0], np.bool_)
        refine = False
        for j in range(last):
            wanted[j] = inner[j] > loss + SLACK
            refine = refine or wanted[j]
        if refine:
            loss, witness = _refine(p, q, unit, bin_of, tail, wanted, k, loss, witness)
        loss = min(max(loss, 0.0), 1.0)
        cap = _solve_cap(p, q, unit, bin_of, mass, tail, levels, k, loss)
        accepted, outside_p, outside_q = _certify(p, q, cap * unit[1] / unit[0], witness)
        found[row, 0] = accepted * unit[0]
        found[row, 1] = outside_p * unit[0] - missed(outside_q * unit[1], k)
        found[row, 2] = cap
        found[row, 3] = witness
    return lowest
