"""The sweep: complete, resumable, the same on several processes, and right where an LP can say."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import polars
import pytest

import sims.sweep as sweep
from sims.runner import Place, digest, main, save
from sims.sweep_laws import MARKOV, ZIPF, stationary
from sims.workers import Workers
from spectheory.cli.style import OPTIMUM
from spectheory.decoding.logged import LoggedLogits
from spectheory.drafting.scheme import scheme, schemes
from spectheory.transport.linear_program import solve
from spectheory.transport.problem import TransportProblem
from spectheory.verification.rule import rules

SMALL = sweep.Config(
    sizes=(6, 4), positions=3, qualities=(0.7,), temperatures=(1.0,), counts=(1, 2)
)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return sweep.run(SMALL, Place(tmp_path_factory.mktemp("ledger")))


def test_every_lossless_rule_stands_wherever_it_serves(table):
    found = set(table.select("source", "scheme", "k", "rule").iter_rows())
    assert found == {
        (source, s, k, r)
        for source in (ZIPF, MARKOV)
        for s in schemes()
        for k in SMALL.counts
        for r in [OPTIMUM, *(r.key for r in rules().values() if r.lossless and r.serves(s, k))]
    }


def test_optima_are_those_of_the_linear_program(table):
    for source in (ZIPF, MARKOV):
        target, slots, weight = SMALL.laws(source, "0.7", 1.0)
        for key, law in schemes().items():
            drafts = slots[:, :2] if law.per_slot else slots[:, 0]
            values = [
                float(solve(TransportProblem.of(p, scheme(key).law(q, 2))).value)
                for p, q in zip(target, drafts, strict=True)
            ]
            row = table.row(
                by_predicate=(polars.col("source") == source)
                & (polars.col("scheme") == key)
                & (polars.col("k") == 2)
                & (polars.col("rule") == OPTIMUM),
                named=True,
            )
            assert row["acceptance"] == pytest.approx(float(weight @ values), abs=1e-9)
            assert row["optimum"] != "upper bound"


def test_no_rule_is_above_the_optimum_and_the_optimal_one_is_at_it(table):
    exact = table.filter(polars.col("error") == 0)
    assert len(exact) == len(table)
    assert table["gap"].min() >= -1e-9
    at = table.filter(polars.col("rule").is_in(["optimal_iid", "greedy_optimal"]))
    assert at["gap"].max() < 1e-9
    assert table.filter(polars.col("rule") == "k_seq")["gap"].max() > 1e-3


def test_processes_change_no_number(table, tmp_path):
    assert sweep.run(SMALL, Place(tmp_path, Workers(2))).equals(table)


def test_finished_cells_are_read_again_unless_the_configuration_changed(tmp_path, monkeypatch):
    place = Place(tmp_path)
    table = sweep.run(SMALL, place)
    monkeypatch.setattr(sweep, "measure", lambda *_: pytest.fail("a cell was measured again"))
    assert sweep.run(SMALL, place).equals(table)
    with pytest.raises(pytest.fail.Exception):
        sweep.run(replace(SMALL, seed=1), place)


def test_qualities_and_temperatures_share_their_noise():
    """At quality 0 the draft is the target; a draft's logits are linear in quality."""
    target, slots, _ = SMALL.laws(ZIPF, "0", 1.0)
    assert np.allclose(slots, target[:, None], atol=1e-15)
    logs = [np.log(SMALL.laws(ZIPF, q, 1.0).slots) for q in ("0", "0.5", "1")]
    second = logs[0] - 2 * logs[1] + logs[2]
    assert np.allclose(second, second[..., :1], atol=1e-12)  # up to the normaliser
    cold = np.log(SMALL.laws(ZIPF, "1", 0.5).slots)
    assert np.allclose(cold - 2 * logs[2], (cold - 2 * logs[2])[..., :1], atol=1e-12)


def test_stationary_weights_are_those_of_a_long_power():
    target, _, weight = SMALL.laws(MARKOV, "0.7", 1.0)
    assert np.allclose(np.linalg.matrix_power(target, 4_096), weight, atol=1e-12)
    assert np.allclose(stationary(np.array([[0.0, 1.0], [1.0, 0.0]])), 0.5)


def test_logged_logits_are_swept_and_another_file_is_another_ledger(tmp_path):
    def log(seed):
        rng = np.random.default_rng(seed)
        target = rng.normal(size=(3, 6)).astype(np.float32)
        drafts = {name: rng.normal(size=(3, 6)).astype(np.float32) for name in ("a", "b")}
        places = np.zeros(3, np.int64)
        return LoggedLogits(target, drafts, places, places, places, {}).save(tmp_path / "l.npz")

    config = replace(SMALL, logits=(str(log(0)),), qualities=(), counts=(2,))
    place = Place(tmp_path / "ledger")
    table = sweep.run(config, place)
    assert set(table["quality"]) == {"a", "b"}
    drafts = {name: config.laws(config.logits[0], name, 1.0).slots for name in ("a", "b")}
    assert np.array_equal(drafts["b"][:, 1], drafts["a"][:, 0])  # slots go round the file's drafts
    sweep.laws.cache_clear()
    sweep.logged_file.cache_clear()
    log(1)
    assert not sweep.run(config, place).equals(table)
    assert len(list(place.folder.iterdir())) == 2


def test_tables_carry_config_seed_and_versions(table, tmp_path):
    path = save(table, "sweep", SMALL, tmp_path)
    assert path.name == f"sweep-{digest(SMALL)}.parquet"
    metadata = polars.read_parquet_metadata(path)
    assert metadata["config"] == repr(SMALL)
    assert metadata["seed"] == "0"
    assert metadata["numpy"] == np.__version__
    assert polars.read_parquet(path).equals(table)


def test_command_writes_full_tables_beside_the_ledger(tmp_path, capsys):
    arguments = ["--full", "--out", str(tmp_path)]
    main("sweep", "", None, SMALL, sweep.run, sweep.render, arguments)
    path, page = capsys.readouterr().out.split()
    assert path == str(tmp_path / "tables" / f"sweep-{digest(SMALL)}.parquet")
    text = (tmp_path / "tables" / "sweep.md").read_text()
    assert page.endswith("sweep.md")
    assert "| `iid` | `k_seq` |" in text
    (ledger,) = (tmp_path / "sims").iterdir()
    assert all(json.loads(line) for line in ledger.read_text().splitlines())
