"""Plans are set up a position at a time; rules take batches. This stands between."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from spectheory.arrays import Array, constant, on_host
from spectheory.verdict import Verdict


def verdict_by_rows(
    make_plan: Callable[[np.ndarray, np.ndarray, int], Any],
    target: Array,
    draft: Array,
    drafts: Array,
) -> Verdict:
    """The verdict of a plan made for each position, in the array library of the target.

    Args:
        make_plan: from ``(V,)`` target, ``(V,)`` or ``(k, V)`` draft and k to an object with
            ``verdict(drafts)`` and ``residual``.
        target: ``(..., V)``.
        draft: ``(..., V)`` or ``(..., k, V)``.
        drafts: ``(..., k)``; all tuples of one position share its plan.
    """
    p, q, x = map(on_host, (target, draft, drafts))
    k, size, laws = x.shape[-1], p.shape[-1], q.shape[x.ndim - 1 :]
    batch = np.broadcast_shapes(p.shape[:-1], q.shape[: x.ndim - 1], x.shape[:-1])
    if all(n == 1 for n in (*p.shape[:-1], *q.shape[: x.ndim - 1])):
        plan = make_plan(p.reshape(size), q.reshape(laws), k)
        residual = np.array(plan.residual).reshape(*(1 for _ in batch), size)
        accept = constant(plan.verdict(x).accept, target)
        return Verdict(drafts, accept, constant(residual, target))
    rows = zip(
        np.broadcast_to(p, (*batch, size)).reshape(-1, size),
        np.broadcast_to(q, (*batch, *laws)).reshape(-1, *laws),
        np.broadcast_to(x, (*batch, k)).reshape(-1, k),
        strict=True,
    )
    verdicts = [make_plan(target, draft, k).verdict(row) for target, draft, row in rows]
    accept = np.stack([v.accept for v in verdicts]).reshape(*batch, k)
    residual = np.stack([v.residual for v in verdicts]).reshape(*batch, size)
    every = np.broadcast_to(x, (*batch, k))
    return Verdict(*(constant(a, target) for a in (every, accept, residual)))
