"""Tables behind the figures, against the same numbers computed another way."""

from __future__ import annotations

import itertools

import numpy as np
import polars
import pytest

from sims import (
    canonical_regions,
    cost_models,
    cspd_chain,
    cspd_speed,
    group_windows,
    spectr_curves,
)
from spectheory.cost.continuous import best_block, truncating_speed_up
from spectheory.verification.rule import rule


def test_block_efficiency_by_going_through_all_drafts():
    target, draft, length = np.array([0.3, 0.5, 0.2]), np.array([0.6, 0.3, 0.1]), 3

    def tokens(k, length):
        if not length or not k:
            return 1.0
        drafts = np.array(list(itertools.product(range(3), repeat=k)))
        accept = rule("k_seq").verdict(target[None], draft[None], drafts).accept
        total = 1.0
        for row, chances in zip(drafts, accept, strict=True):
            reach = np.prod(draft[row])
            for token, chance in zip(row, chances, strict=True):
                survivors = int((row == token).sum())
                total += reach * chance * tokens(survivors, length - 1)
                reach *= 1 - chance
        return total

    moves = spectr_curves.survivors(target, draft, 3)
    found = spectr_curves.block_efficiency(moves, length)
    assert found[1:] == pytest.approx([tokens(k, length) for k in (1, 2, 3)], rel=1e-12)
    assert moves.sum(axis=1)[1:] == pytest.approx(
        [float(rule("k_seq").rates(target, draft, k).ladder) for k in (1, 2, 3)], rel=1e-12
    )


def test_regions_are_those_of_the_inequalities():
    config = canonical_regions.Config(drafts=((0.6, 0.3, 0.1),), schemes=("iid",), steps=24, most=3)
    table = canonical_regions.run(config)
    draft = np.array(config.drafts[0])
    subsets = [list(h) for n in (1, 2) for h in itertools.combinations(range(3), n)]
    for first, second, k in table.select("first", "second", "k").iter_rows():
        target = np.array([first, second, 1 - first - second])
        enough = [
            n
            for n in (1, 2, 3)
            if all(target[h].sum() >= draft[h].sum() ** n - 1e-12 for h in subsets)
        ]
        assert k == (enough[0] if enough else 4)


def test_acceptances_of_chains_are_those_of_the_rules():
    config = cspd_chain.Config(floors=(0.1, 0.4), draws=40_000)
    table = cspd_chain.run(config)
    off = (table["measured"] - table["acceptance"]) / table["error"]
    assert off.abs().max() < 5.6  # false alarm 16 x 2e-8
    # The negative control: one rule's acceptance for another's is far outside.
    shared, apart = (
        table.filter((polars.col("rule") == r) & (polars.col("steps") == 20))
        for r in ("shared_noise", "independent_paths")
    )
    assert ((shared["measured"] - apart["acceptance"]) / apart["error"]).min() > 50


def test_orders_of_the_chain_rules():
    wide = cspd_chain.run(cspd_chain.Config(draws=10)).pivot(
        on="rule", index=["steps", "floor"], values="acceptance"
    )
    assert (wide["marginal"] >= wide["shared_noise"] - 1e-12).all()
    assert (wide["marginal"] >= wide["same_path"] - 1e-12).all()
    assert (wide["shared_noise"] > wide["independent_paths"]).all()
    many = wide.filter(polars.col("steps") == 20)
    assert len(set((many["shared_noise"] > many["same_path"]).to_list())) == 2  # neither dominates


def test_schedule_that_drops_nothing_fits_and_truncation_cannot():
    table = cspd_speed.run(cspd_speed.Config())
    assert len(table) == 12
    assert (table["in_place"] / table["printed"] - 1).abs().max() < 0.04
    assert (table["truncating"] < 1).all()


def test_windows_can_lose_and_partitions_cannot():
    table = group_windows.run(group_windows.Config(pairs=500))
    assert table.filter(polars.col("groups") == "partition")["below"].max() == 0
    worked = table.filter((polars.col("laws") == "worked") & (polars.col("width") == 1))
    assert worked.filter(polars.col("groups") == "window")["below"].item() == 1
    assert table.filter(polars.col("width") == 0)["bias"].max() < 1e-12


def test_cost_models_have_their_known_optima():
    config = cost_models.Config()
    table = cost_models.run(config)
    for rate in config.acceptances:
        line = table.filter((polars.col("model") == "serial") & (polars.col("parameter") == rate))
        best = line.sort("speed_up", descending=True)["x"][0]
        assert best == best_block(rate, config.cost, max(config.blocks))
        for block, value in line.select("x", "speed_up").iter_rows():
            assert value == pytest.approx(
                truncating_speed_up(rate, int(block), config.cost), rel=1e-12
            )
    for head in config.heads:
        line = table.filter((polars.col("model") == "pruned") & (polars.col("parameter") == head))
        best = line.sort("speed_up", descending=True)["x"][0]
        assert line["x"].min() < best < line["x"].max()
    for power in config.sharpness:
        line = table.filter((polars.col("model") == "exit") & (polars.col("parameter") == power))
        best = line.sort("speed_up", descending=True)["x"][0]
        assert line["x"].min() < best < line["x"].max()
        for layer, value in line.select("x", "speed_up").iter_rows():
            rate, cost = (layer / 30) ** power, 0.95 * layer / 30 + 0.05
            block = best_block(rate, cost, max(config.blocks))
            assert value == pytest.approx(truncating_speed_up(rate, max(block, 1), cost), rel=1e-12)
