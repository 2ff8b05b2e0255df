"""The benchmark runs on synthetic laws and on logged logits."""

import numpy as np

from sims.bench import Config, render, run
from spectheory.decoding.logged import LoggedLogits


def test_small_table(tmp_path):
    rng = np.random.default_rng(0)
    target = rng.normal(size=(2, 60)).astype(np.float32)
    drafts = {"far": 3 * rng.normal(size=(2, 60)).astype(np.float32), "near": target + 0.1}
    places = np.zeros(2, np.int64)
    file = LoggedLogits(target, drafts, places, places, places, {}).save(tmp_path / "logged.npz")
    config = Config(sizes=(40,), drafts=(2,), repeats=1, logits=(str(file),), positions=1)
    rows = run(config)
    assert [(row.name, row.size) for row in rows] == [
        ("synthetic", 50),
        ("synthetic", 40),
        ("logged, near", 60),
    ]
    assert all(row.linear_program is not None for row in rows)
    assert len(render(rows).splitlines()) == 2 + len(rows)
