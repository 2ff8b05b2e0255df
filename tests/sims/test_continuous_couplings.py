"""The simulation of couplings: a row, and the table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from sims import continuous_couplings
from sims.continuous_couplings import PAIRS, Config, cases, measure, render
from spectheory.continuous.coupling import couplings


def test_every_pair_and_coupling_has_a_row():
    keys = cases(Config())
    assert {name for name, _, _ in keys} == set(PAIRS)
    assert {key for _, key, _ in keys} == set(couplings())


def test_a_row_and_the_table():
    config = Config(draws=20_000)
    keys = [("shift 1", "optimal", 4), ("3-d, two covariances", "poisson_functional", 1)]
    rows = [(key, measure(config, *key)) for key in keys]
    row = rows[0][1]
    assert row["optimum"] == pytest.approx(0.924197, abs=5e-7)
    assert abs(row["measured"] - row["exact"]) < 5.4 * row["error"]
    # each at a false-alarm rate of 1e-6
    assert min(min(row["output"], row["drafts"]) for _, row in rows) > config.alpha
    table = render(config, rows)
    assert "| shift 1 | `optimal` | 4 | 0.924197 | 0.924194 |" in table
    assert "| 3-d, two covariances | `poisson_functional` | 1 |" in table


def test_a_coupling_that_says_it_always_accepts_is_seen(monkeypatch):
    config, key = Config(draws=5_000), ("shift 1", "optimal", 1)

    @dataclass
    class Always:
        """Draws as the coupling does, and calls every draft accepted."""

        of: object

        def draw(self, pair, n, rng, k):
            drawn = self.of.draw(pair, n, rng, k)
            return drawn._replace(slot=np.zeros_like(drawn.slot))

        def acceptance(self, pair, k):
            return self.of.acceptance(pair, k)

    monkeypatch.setattr(continuous_couplings, "coupling", lambda name: Always(couplings()[name]))
    row = measure(config, *key)
    assert row["measured"] == 1
    assert continuous_couplings._score(row) > 50
    assert continuous_couplings._score(row | {"exact": 1.0, "error": 0.0}) == 0
    assert continuous_couplings._score(row | {"exact": 0.0, "error": 0.0}) == np.inf
