"""The demonstration's measurements as a table, and the table that comes with the source."""

from __future__ import annotations

import polars
import pytest

from sims import real_pairs_heat
from sims.real_pairs import Config, run
from sims.runner import SHIPPED, file_name
from spectheory.cli.style import OPTIMUM
from spectheory.verification.rule import rule

SMALL = Config(
    pairs=("tabular",), iterative=(), positions=6, limit=2, counts=(1, 2), resamples=20, seed=3
)


@pytest.fixture(scope="module")
def shipped():
    return polars.read_parquet(SHIPPED / file_name("real_pairs", Config()))


def test_table_is_the_demonstrations_without_what_is_left_out(tmp_path):
    from spectheory.cli import main

    table = run(SMALL, tmp_path / "sim", threads=1)
    main(
        [
            *("demo", "--pair", "tabular", "--prompts", "humaneval,mtbench", "--limit", "2"),
            *("--positions", "6", "--k", "1,2", "--resamples", "20", "--seed", "3"),
            *("--threads", "1", "--out", str(tmp_path / "demo"), "--json"),
        ]
    )
    demo = polars.read_parquet(tmp_path / "demo" / "tabular.parquet")
    left_out = {r for r in demo["rule"].unique() if r != OPTIMUM and rule(r).iterative}
    assert left_out
    same = demo.filter(
        polars.col("scheme").is_in(SMALL.schemes) & ~polars.col("rule").is_in(left_out)
    )
    assert 0 < len(same) < len(demo)
    assert table.drop("vocab_size").equals(same)
    assert table["vocab_size"].unique().to_list() == [48]


def test_finished_measurements_are_not_made_again(tmp_path, capsys):
    first = run(SMALL, tmp_path, threads=1)
    capsys.readouterr()
    assert run(SMALL, tmp_path, threads=1).equals(first)
    assert f"{len(first)} of {len(first)} measurements were finished" in capsys.readouterr().err


def test_shipped_table_holds_both_pairs_at_their_sizes(shipped):
    sizes = dict(shipped.select("pair", "vocab_size").unique().rows())
    assert sizes == {"smollm2": 49_152, "qwen2.5": 151_936}
    config = Config()
    wanted = {(pair, *cell) for pair in config.pairs for cell in config.cells(pair)}
    assert set(shipped.select("pair", "scheme", "draft", "k", "rule").rows()) == wanted
    assert len(shipped) == len(wanted)


def test_shipped_table_keeps_the_theorems(shipped):
    """One draft: every maximal rule accepts 1 - TV. Any: none beats the optimum, and more help."""
    for row in shipped.iter_rows(named=True):
        sampled = 6 * row["standard_error"] + 1e-9
        assert row["gap"] >= -sampled, row
        assert row["acceptance_low"] <= row["acceptance"] <= row["acceptance_high"], row
        if row["rule"] == OPTIMUM:
            assert row["optimum_is_exact"], row
        elif row["k"] == 1 and rule(row["rule"]).maximal_at_one:
            assert row["gap"] == pytest.approx(0, abs=1e-9), row
    best = shipped.filter(polars.col("rule") == OPTIMUM).sort("k")
    for _, curve in best.group_by("pair", "draft", "scheme"):
        assert (curve["acceptance"].diff().drop_nulls() > 0).all()
    iid, without = (
        best.filter(polars.col("scheme") == scheme).sort("pair", "draft", "k")["acceptance"]
        for scheme in ("iid", "without_replacement")
    )
    assert (without >= iid - 1e-12).all()


def test_by_temperature_at_one_it_is_the_other_table_and_elsewhere_in_order(shipped):
    config = real_pairs_heat.Config()
    table = polars.read_parquet(SHIPPED / file_name("real_pairs_heat", config))
    key = ["pair", "draft", "k", "rule"]
    at_one = table.filter(polars.col("temperature") == 1).sort(key)
    same = shipped.filter(
        (polars.col("scheme") == "iid") & polars.col("rule").is_in([OPTIMUM, *config.rules])
    ).sort(key)
    assert at_one.select(key).equals(same.select(key))
    assert at_one["acceptance"].to_numpy() == pytest.approx(same["acceptance"].to_numpy(), abs=1e-9)
    assert table["temperature"].unique().sort().to_list() == list(config.temperatures)
    for _, line in table.group_by("temperature", "pair", "draft", "rule"):
        values = line.sort("k")["acceptance"].to_numpy()
        assert (values[1:] >= values[:-1] - 1e-12).all()
    assert table["gap"].min() >= -1e-9
    alone = table.filter((polars.col("k") == 1) & (polars.col("rule") != OPTIMUM))
    assert alone["gap"].abs().max() < 1e-9
