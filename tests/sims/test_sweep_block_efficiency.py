"""Tokens a step: three ways to one number, and formulas that are right only where they hold."""

from __future__ import annotations

import itertools

import numpy as np
import polars
import pytest

import sims.block_efficiency as sim
from sims.runner import Place
from sims.sweep_laws import stationary
from spectheory.cost.speedup import expected_tokens
from spectheory.kernels.markov_blocks import tokens_of_steps
from spectheory.verification.block import block_verification

SMALL = sim.Config(
    size=4, models=1, qualities=(1.0,), temperatures=(1.0,), lengths=(1, 3), steps=20_000
)
TARGET, DRAFT = sim.chain(SMALL, 0, 1.0, 1.0)


def enumerated(start: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Reach and last token of block verification, by the library's verdict on every path."""
    size = len(TARGET)
    reach, after = np.zeros(length), np.zeros(size)
    for path in itertools.product(range(size), repeat=length):
        states = [start, *path]
        verdict = block_verification(TARGET[states], DRAFT[states[:-1]], np.array(path))
        chance = np.prod([DRAFT[s, x] for s, x in itertools.pairwise(states)])
        reach += chance * verdict.kept[::-1].cumsum()[::-1][1:]
        after += chance * verdict.kept @ verdict.correction
    return reach, after


def test_block_verification_through_paths_is_the_librarys():
    reach, after = sim.paths(TARGET, DRAFT, 3)
    for start in range(4):
        wanted = enumerated(start, 3)
        assert np.allclose(reach[start], wanted[0], atol=1e-13)
        assert np.allclose(after[start], wanted[1], atol=1e-13)


def test_rejection_by_matrix_is_rejection_path_by_path():
    matrix = sim.accepted("rejection", "iid", 1, TARGET, DRAFT)
    assert np.allclose(matrix, np.minimum(TARGET, DRAFT), atol=1e-14)
    for mine, other in zip(
        sim.levels(matrix, TARGET, 4), sim.paths(TARGET, DRAFT, 4, block=False), strict=True
    ):
        assert np.allclose(mine, other, atol=1e-13)


@pytest.mark.parametrize("block", [False, True])
def test_the_kernel_decides_as_the_librarys_verdict_on_the_same_tape(block):
    length, rng = 3, np.random.default_rng(0)
    tape = rng.random((2_000, 2 * length + 1))
    tokens, last = tokens_of_steps(TARGET, DRAFT, tape, 0, block)
    state = 0
    for row, count, final in zip(tape, tokens, last, strict=True):
        states = [state]
        for u in row[:length]:
            states.append(int(np.searchsorted(DRAFT[states[-1]].cumsum(), u, side="right")))
        path = np.array(states[1:])
        tests = row[length : 2 * length]
        p, q = TARGET[states], DRAFT[states[:-1]]
        if block:
            verdict = block_verification(p, q, path)
            begun = verdict.kept.cumsum()  # P(at most i kept)
            # given that no longer prefix succeeded; if that cannot be, it is never asked for
            never = np.zeros(length)
            succeed = np.divide(verdict.kept[1:], begun[1:], out=never, where=begun[1:] > 0)
            kept = max((i + 1 for i in range(length) if tests[i] < succeed[i]), default=0)
            law = verdict.correction[kept]
        else:
            fine = [tests[i] * q[i, x] < p[i, x] for i, x in enumerate(path)]
            kept = fine.index(False) if False in fine else length
            law = p[kept] if kept == length else np.maximum(p[kept] - q[kept], 0)
        assert count == kept + 1
        assert final == np.searchsorted((law / law.sum()).cumsum(), row[-1], side="right")
        state = int(final)


def test_drawn_steps_agree_and_another_draft_would_be_seen():
    """The false-alarm rate of each comparison is 1e-6: 4.9 standard errors."""
    for block in (False, True):
        reach, after = sim.paths(TARGET, DRAFT, 3, block)
        exact = 1 + stationary(after) @ reach.sum(axis=1)
        mean, error = sim.drawn(TARGET, DRAFT, 3, 200_000, 0, block)
        assert abs(mean - exact) < 4.9 * error
        from_target = 1 + stationary(TARGET) @ reach.sum(axis=1)
        assert abs(mean - from_target) > 4.9 * error, "steps do not begin as texts do"


@pytest.mark.parametrize("key", sim.VERIFIERS)
def test_last_tokens_and_acceptances_of_every_verifier(key):
    rule, scheme, k = key
    if rule == sim.BLOCK:
        reach, after = sim.paths(TARGET, DRAFT, 3)
    else:
        matrix = sim.accepted(rule, scheme, k, TARGET, DRAFT)
        assert (matrix <= TARGET + 1e-12).all(), "a lossless rule gives no token more than its mass"
        reach, after = sim.levels(matrix, TARGET, 3)
    assert np.allclose(after.sum(axis=1), 1, atol=1e-12)
    assert (np.diff(reach, axis=1) <= 1e-15).all()


def test_where_all_states_accept_alike_the_formula_is_exact():
    target = np.tile([[0.5, 0.3, 0.2]], (3, 1))
    draft = np.tile([[0.2, 0.3, 0.5]], (3, 1))
    matrix = np.minimum(target, draft)
    found = sim.efficiency(*sim.levels(matrix, target, 4), target, matrix.sum(axis=1))
    wanted = pytest.approx(expected_tokens([0.7] * 4), abs=1e-13)
    assert (found.exact, found.anywhere, found.iid, found.pooled) == (wanted,) * 4


def test_table(tmp_path):
    table = sim.run(SMALL, Place(tmp_path))
    assert len(table) == len(sim.VERIFIERS) * len(SMALL.lengths)
    for row in table.iter_rows(named=True):
        assert expected_tokens(row["by_position"]) == pytest.approx(row["exact"], abs=1e-12)
    by_rule = table.filter(polars.col("length") == 3)
    exact = {(r["rule"], r["k"]): r["exact"] for r in by_rule.iter_rows(named=True)}
    assert exact["block", 1] > exact["rejection", 1]
    assert exact["rejection", 1] < exact["optimal_iid", 2] < exact["optimal_iid", 4]
    assert (table["iid"] - table["exact"]).abs().max() > 0.01
    drawn = table.filter(polars.col("error").is_not_null())
    assert ((drawn["drawn"] - drawn["exact"]) / drawn["error"]).abs().max() < 5.4
    assert "| `block` | `iid` | 1 | 3 |" in sim.render(SMALL, table)
