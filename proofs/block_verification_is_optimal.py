"""Block verification is lossless, and no rule that sees one path keeps more of it.

Statement: let A(u) be the probability that the kept part of the drafted path begins with u. For
block verification ``A(ux) = min(q(ux), A(u) p(x | u))``; every lossless rule has A(u) no larger,
for every u at once, so none keeps more tokens in expectation. The emitted tokens, completed by the
target, have the target's law.

Assumptions: V = 2, L = 2; all conditional laws of target and draft, zeros and ties included.

Machine-checked: both identities for all laws, on the library's `block_verification`, region by
region. By z3 the induction step: from ``a <= a'`` and ``b <= min(q', a p)`` follows
``b <= min(q', a' p)``.

Argued: that every lossless rule has A(root) = 1, A(ux) <= q(ux), as only drafted paths are kept,
and A(ux) <= A(u) p(x | u), as its output has the target's law; the induction over the prefix.
Tokens after each prefix are named by ascending p / q.

Reference: sun2025block (the rule and its optimality).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np
import z3

from proofs import Checked
from proofs._cover import Quantity
from proofs._laws import for_all_laws
from spectheory.verification.block import BlockVerdict, block_verification

Laws = dict[tuple[int, ...], np.ndarray]
PATHS = list(itertools.product(range(2), repeat=2))


def along(laws: Laws, path: tuple[int, ...], count: int) -> np.ndarray:
    """``(count, V)``: the laws met on a path."""
    return np.stack([laws[path[:i]] for i in range(count)])


def is_lossless_and_optimal(rule: Callable[..., BlockVerdict], *laws: np.ndarray) -> None:
    """Both identities, for laws after the prefixes (), (0,) and (1,) of target, then of draft."""
    prefixes = [(), (0,), (1,)]
    target, draft = (
        dict(zip(prefixes, laws[:3], strict=True)),
        dict(zip(prefixes, laws[3:], strict=True)),
    )
    for leaf in PATHS:
        target[leaf] = laws[0] * 0 + laws[0]  # what follows the block cancels; any law will do
    zero = laws[0][0] * 0
    kept: dict[tuple[int, ...], Quantity] = dict.fromkeys([*prefixes, *PATHS], zero)
    emitted: dict[tuple[int, ...], Quantity] = dict.fromkeys(PATHS, zero)
    for path in PATHS:
        chance = draft[()][path[0]] * draft[path[:1]][path[1]]
        if not chance > 0:
            continue
        verdict = rule(along(target, path, 3), along(draft, path, 2), np.array(path))
        for length, mass in enumerate(verdict.kept):
            for begun in range(length + 1):
                kept[path[:begun]] += chance * mass
            for full in continuations(path[:length]):
                rest = verdict.correction[length][full[length]] if length < 2 else 1
                if length == 0:
                    rest = rest * target[full[:1]][full[1]]
                emitted[full] += chance * mass * rest
    for full in PATHS:
        wanted = target[()][full[0]] * target[full[:1]][full[1]]
        assert emitted[full] == wanted, f"output law differs from the target at {full}"
    most = {(): zero + 1}
    for prefix in prefixes:
        for token in range(2):
            path = (*prefix, token)
            drafted = draft[()][path[0]] * (draft[path[:1]][token] if prefix else 1)
            most[path] = min(drafted, most[prefix] * target[prefix][token])
            assert kept[path] == most[path], f"keeps {path} with another probability"


def continuations(prefix: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """The paths that begin with a prefix."""
    return (path for path in PATHS if path[: len(prefix)] == prefix)


def verify(rule: Callable[..., BlockVerdict] = block_verification) -> Checked:
    """Check the statement for block verification, or for a rule that claims to be it."""
    a, more, b, p, q = z3.Reals("a more b p q")
    solver = z3.SolverFor("QF_NRA")
    solver.add(a <= more, p >= 0, b <= q, b <= a * p, z3.Or(b > q, b > more * p))
    assert solver.check() == z3.unsat, "the step of the induction fails"

    def named(*laws: np.ndarray) -> list[Quantity]:
        return [p[1] * q[0] - p[0] * q[1] for p, q in zip(laws[:3], laws[3:], strict=True)]

    regions = for_all_laws(2, lambda *laws: is_lossless_and_optimal(rule, *laws), 6, within=named)
    return Checked(
        "V = 2, L = 2: all conditional laws; the step for all V, L",
        f"{regions} regions run, z3: no other",
    )
