"""The zoo's table on two entries: what it says, and that it goes on where it was."""

import pytest

from sims.runner import Place
from sims.zoo_detect import Config, missed, render, run

KEYS = ("draft_law_lost", "uniform_zero")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    config = Config(keys=KEYS, max_draws=5_000, right_draws=2_000, runs=1, tests=("vllm_wide",))
    place = Place(tmp_path_factory.mktemp("out"))
    return config, place, run(config, place)


def test_rows_say_what_was_seen(made):
    config, _, table = made
    verdicts = {
        (row["entry"], row["kind"]): row["caught"]
        for row in table.iter_rows(named=True)
        if not row["mended"]
    }
    assert verdicts["uniform_zero", "marginal"]
    assert verdicts["uniform_zero", "vllm_wide"]
    assert verdicts["draft_law_lost", "acceptance"]
    assert not verdicts["draft_law_lost", "marginal"]
    assert not any(row["caught"] for row in table.iter_rows(named=True) if row["mended"])
    assert not list(missed(config, table))
    text = render(config, table)
    assert "| uniform_zero | 40.21% | 1,024 |" in text
    assert "| draft_law_lost | 0.00% | no | 1,024 |" in text


def test_a_second_run_computes_nothing(made, monkeypatch):
    config, place, table = made

    def unwanted(*_):
        raise AssertionError("computed again")

    monkeypatch.setattr("sims.zoo_detect.audited", unwanted)
    monkeypatch.setattr("sims.zoo_detect.tested", unwanted)
    assert run(config, place).equals(table)


def test_a_miss_is_named(made):
    import polars

    config, _, table = made
    blind = table.with_columns(polars.lit(False).alias("caught"))
    assert set(missed(config, blind)) == {"uniform_zero, seed 0", "draft_law_lost, seed 0"}
