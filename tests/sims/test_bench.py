"""The benchmark runs, and its speeds hold as multiples of a sort of the same ratios."""

import numpy as np
import pytest

from sims.bench import Config, measure, render, run, synthetic


def test_small_table(tmp_path):
    rng = np.random.default_rng(0)
    file = tmp_path / "logged.npz"
    np.savez(file, target=rng.normal(size=(2, 60)), draft=rng.normal(size=(2, 60)))
    config = Config(sizes=(40,), drafts=(2,), repeats=1, logits=(str(file),), positions=1)
    rows = run(config)
    assert [(row.name, row.size) for row in rows] == [
        ("synthetic", 50),
        ("synthetic", 40),
        ("logged 0", 60),
    ]
    assert all(row.linear_program is not None for row in rows)
    assert len(render(rows).splitlines()) == 2 + len(rows)


@pytest.mark.slow
@pytest.mark.parametrize("k", [2, 8])
def test_speeds(k):
    """Medians of interleaved repeats, so that a shared machine slows both sides alike."""
    row = measure("synthetic", *synthetic(128_256, 0.7, seed=k), k, Config(repeats=9))
    assert row.optimum <= 1.5 * row.sort
    assert row.exact <= 12 * row.sort
    assert row.grouped <= 3 * row.sort
    assert row.draw <= 20e-6
