"""Draws and exact slot probabilities of a score plan.

A token's score is uniform on the pieces of its group, or of one of two groups with a probability
that is linear in its ratio (the grouped plan). The highest score wins, and is accepted if it is
above the floor of the group that it came from.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from spectheory.kernels.compiling import compiled
from spectheory.kernels.sorting import count_below, heap_sort


class Pieces(NamedTuple):
    """The score laws of all tokens, as arrays that a kernel can read.

    Attributes:
        bin_of: ``(V,)`` bin of each token.
        below, above: ``(bins,)`` the groups that a bin's tokens draw their scores from.
        edges: ``(bins + 1,)`` ratios at which all tokens of the bin use ``below``, next ``above``;
            not read where the two groups are one.
        start: ``(groups + 1,)`` first piece of each group.
        low, high, before: ``(pieces,)`` ends, and the length of the group's pieces before.
        length, floor: ``(groups,)`` total length, and the score above which the group accepts.
    """

    bin_of: np.ndarray
    below: np.ndarray
    above: np.ndarray
    edges: np.ndarray
    start: np.ndarray
    low: np.ndarray
    high: np.ndarray
    before: np.ndarray
    length: np.ndarray
    floor: np.ndarray


@compiled(nogil=True)
def upper_share(ratio: float, bin_: int, edges: np.ndarray) -> float:
    """Probability that a token of that ratio draws its score from the upper group of its bin."""
    share = (ratio - edges[bin_]) / (edges[bin_ + 1] - edges[bin_])
    return min(max(share, 0.0), 1.0)


@compiled(nogil=True)
def _score(
    token: int, uniform: float, target: np.ndarray, draft: np.ndarray, pieces: Pieces
) -> tuple[float, int]:
    bin_ = pieces.bin_of[token]
    group = pieces.below[bin_]
    if pieces.above[bin_] != group:  # one uniform serves both choices: its remainder is uniform
        share = upper_share(target[token] / draft[token], bin_, pieces.edges)
        if uniform < share:
            group, uniform = pieces.above[bin_], uniform / share
        else:
            uniform = (uniform - share) / (1.0 - share)
    first, stop = pieces.start[group], pieces.start[group + 1]
    if stop == first:
        return 0.0, group
    at = uniform * pieces.length[group]
    while stop - first > 1:
        middle = (first + stop) // 2
        if pieces.before[middle] <= at:
            first = middle
        else:
            stop = middle
    return min(pieces.low[first] + (at - pieces.before[first]), pieces.high[first]), group


@compiled(nogil=True)
def draw(
    drafts: np.ndarray,
    uniforms: np.ndarray,
    target: np.ndarray,
    draft: np.ndarray,
    running: np.ndarray,
    pieces: Pieces,
) -> tuple[int, int]:
    """One output token and its slot (k: residual) for ``(k,)`` drafts and ``(k + 1,)`` uniforms."""
    k = drafts.shape[0]
    best, best_score, floor = 0, -1.0, 1.0
    for i in range(k):
        score, group = _score(drafts[i], uniforms[i], target, draft, pieces)
        if score > best_score:
            best, best_score, floor = i, score, pieces.floor[group]
    if best_score > floor:
        return drafts[best], best
    total = running[-1]
    token = count_below(running, uniforms[k] * total, True)
    if token >= running.shape[0] or running[token] >= total:  # rounding: the last of positive mass
        token = count_below(running, total, False)
    return token, k


@compiled(nogil=True)
def draw_rows(
    drafts: np.ndarray,
    uniforms: np.ndarray,
    target: np.ndarray,
    draft: np.ndarray,
    running: np.ndarray,
    pieces: Pieces,
    token: np.ndarray,
    slot: np.ndarray,
) -> None:
    """`draw` for ``(rows, k)`` drafts."""
    for row in range(drafts.shape[0]):
        token[row], slot[row] = draw(drafts[row], uniforms[row], target, draft, running, pieces)


@compiled(nogil=True)
def slot_masses(
    drafts: np.ndarray,
    target: np.ndarray,
    draft: np.ndarray,
    pieces: Pieces,
    nodes: np.ndarray,
    weights: np.ndarray,
    masses: np.ndarray,
) -> None:
    """P(slot i has the highest score and is accepted) for ``(rows, k)`` drafts.

    Between two neighbouring ends of pieces every score has a constant density, so the chance that
    the others are below is a polynomial of degree k - 1 there, which the Gauss-Legendre nodes on
    [0, 1] (at least k / 2 of them) integrate exactly, with positive terms only.
    """
    rows, k = drafts.shape
    group = np.empty((k, 2), np.int64)
    share = np.empty((k, 2))
    for row in range(rows):
        count = 0
        for i in range(k):
            token = drafts[row, i]
            bin_ = pieces.bin_of[token]
            group[i, 0], group[i, 1] = pieces.below[bin_], pieces.above[bin_]
            share[i, 1] = 0.0
            if group[i, 0] != group[i, 1]:
                share[i, 1] = upper_share(target[token] / draft[token], bin_, pieces.edges)
            share[i, 0] = 1.0 - share[i, 1]
            for side in range(2):
                if share[i, side] > 0.0:
                    g = group[i, side]
                    count += 2 * (pieces.start[g + 1] - pieces.start[g]) + 1
        ends = np.empty(count + 2)
        ends[0], ends[1] = 0.0, 1.0
        count = 2
        for i in range(k):
            for side in range(2):
                if share[i, side] > 0.0:
                    g = group[i, side]
                    ends[count] = pieces.floor[g]
                    count += 1
                    for n in range(pieces.start[g], pieces.start[g + 1]):
                        ends[count], ends[count + 1] = pieces.low[n], pieces.high[n]
                        count += 2
        heap_sort(ends, np.empty(count, np.int64))
        steps = 0
        for n in range(1, count):
            if ends[n] > ends[steps]:
                steps += 1
                ends[steps] = ends[n]
        ends = ends[: steps + 1]
        density = np.zeros((k, steps))
        accepting = np.zeros((k, steps))
        for i in range(k):
            for side in range(2):
                g = group[i, side]
                if share[i, side] <= 0.0 or pieces.length[g] <= 0.0:
                    continue
                each = share[i, side] / pieces.length[g]
                for n in range(pieces.start[g], pieces.start[g + 1]):
                    step = count_below(ends, pieces.low[n], False)
                    while step < steps and ends[step] < pieces.high[n]:
                        density[i, step] += each
                        if ends[step] >= pieces.floor[g]:
                            accepting[i, step] += each
                        step += 1
        masses[row] = 0.0
        below = np.zeros(k)  # chance that the score is below the current end
        for i in range(k):
            for side in range(2):
                if pieces.length[group[i, side]] <= 0.0:
                    below[i] += share[i, side]  # a group without pieces scores 0
        before, after = np.empty(k + 1), np.empty(k + 1)
        for step in range(steps):
            width = ends[step + 1] - ends[step]
            busy = False
            for i in range(k):
                busy = busy or accepting[i, step] > 0.0
            if busy:
                for n in range(nodes.shape[0]):
                    at = width * nodes[n]
                    before[0] = after[k] = 1.0
                    for i in range(k):
                        before[i + 1] = before[i] * (below[i] + density[i, step] * at)
                    for i in range(k - 1, -1, -1):
                        after[i] = after[i + 1] * (below[i] + density[i, step] * at)
                    for i in range(k):
                        masses[row, i] += (
                            weights[n] * width * accepting[i, step] * before[i] * after[i + 1]
                        )
            for i in range(k):
                below[i] += density[i, step] * width
