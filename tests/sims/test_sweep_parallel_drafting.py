"""Blocks drafted from marginals: the chain's formulas against sums over all blocks."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import entropy

import sims.parallel_drafting as sim
from sims.runner import Place
from sims.sweep_laws import stationary
from spectheory.verification.block import block_verification

CONFIG = sim.Config()
CHAIN = sim.chain(CONFIG, 3, 0, 0.6)
START = stationary(CHAIN)


def blocks(length):
    """Every block with its probability under the chain and under the product of marginals."""
    begin = START @ CHAIN
    paths = list(itertools.product(range(3), repeat=length))
    joint = np.array(
        [begin[p[0]] * np.prod([CHAIN[s, x] for s, x in itertools.pairwise(p)]) for p in paths]
    )
    cube = joint.reshape((3,) * length)
    axes = range(length)
    own = [cube.sum(axis=tuple(a for a in axes if a != i)) for i in axes]
    product = np.array([np.prod([own[i][x] for i, x in enumerate(p)]) for p in paths])
    return paths, joint, product, own


def test_total_correlation_and_acceptance_are_those_of_the_joint_law():
    _, joint, product, own = blocks(4)
    found = sim.gap(CHAIN, START, 4)
    assert np.allclose(sim.marginals(CHAIN, START, 4), own, atol=1e-14)
    assert found.total_correlation == pytest.approx(entropy(joint, product), abs=1e-12)
    assert found.whole == pytest.approx(np.minimum(joint, product).sum(), abs=1e-13)


def test_kept_tokens_are_those_of_the_librarys_block_verification_and_of_rejection():
    paths, _, product, own = blocks(3)
    by_block = one_by_one = 0.0
    for path, chance in zip(paths, product, strict=True):
        target = np.stack([START @ CHAIN, *(CHAIN[x] for x in path)])
        verdict = block_verification(target, np.stack(own), np.array(path))
        by_block += chance * float(verdict.kept @ np.arange(4))
        ratios = [min(1, target[i, x] / own[i][x]) for i, x in enumerate(path)]
        one_by_one += chance * float(np.cumprod(ratios).sum())
    found = sim.gap(CHAIN, START, 3)
    assert found.block == pytest.approx(by_block, abs=1e-13)
    assert found.rejection == pytest.approx(one_by_one, abs=1e-13)
    assert found.block > found.rejection + 1e-3


def test_ends_of_the_scale():
    free, bound = (
        sim.gap(t, stationary(t), 4) for t in (sim.chain(CONFIG, 4, 0, c) for c in (0.0, 1.0))
    )
    assert free == pytest.approx((0, 1, 1, 1, 4, 4), abs=1e-7)
    assert bound.total_correlation == pytest.approx(3 * np.log(4), abs=1e-12)
    assert bound.whole == pytest.approx(4.0**-3, abs=1e-13)
    assert bound.pinsker < 0 < bound.bretagnolle_huber


def test_bounds_hold_and_a_tighter_one_would_not(tmp_path):
    table = sim.run(CONFIG, Place(tmp_path))
    assert len(table) == 2 * 7 * 3 * 5
    assert (table["whole"] >= table["pinsker"] - 1e-7).all()
    assert (table["whole"] >= table["bretagnolle_huber"] - 1e-7).all()
    assert not (table["whole"] >= 1 - (table["total_correlation"] / 8).sqrt()).all()
    assert (table["block"] >= table["rejection"] - 1e-12).all()
    assert "| 4 | 6 | 0.95 |" in sim.render(CONFIG, table)
