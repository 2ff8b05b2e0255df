"""The benchmark runs on synthetic laws and on logged logits."""

import numpy as np
import polars

from sims import bench
from sims.bench import Config, render, run
from sims.runner import file_name
from spectheory.decoding.logged import LoggedLogits


def test_small_table(tmp_path):
    rng = np.random.default_rng(0)
    target = rng.normal(size=(2, 60)).astype(np.float32)
    drafts = {"far": 3 * rng.normal(size=(2, 60)).astype(np.float32), "near": target + 0.1}
    places = np.zeros(2, np.int64)
    file = LoggedLogits(target, drafts, places, places, places, {}).save(tmp_path / "logged.npz")
    config = Config(
        sizes=(40, 50), drafts=(2,), repeats=1, tuples=3_000, logits=(str(file),), positions=1
    )
    table = run(config)
    assert table.select("laws", "size").rows() == [
        ("synthetic", 40),
        ("synthetic", 50),
        ("logged, near", 60),
    ]
    assert table["linear_program"].is_null().to_list() == [False, False, True]
    for what in ("sort", "value", "exact", "grouped", "draw"):
        assert table[what].min() > 0
    assert len(render(table).splitlines()) == 2 + len(table)


def test_command_saves_the_table_with_machine_and_command(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bench, "OUT", tmp_path)
    bench.main(["--sizes", "60", "--repeats", "1", "--tables", str(tmp_path)])
    path = tmp_path / file_name("bench", Config(sizes=(60,), repeats=1))
    assert len(polars.read_parquet(path)) == 3
    about = polars.read_parquet_metadata(path)
    assert about["command"].startswith("python -m sims.bench --sizes 60 --repeats 1")
    assert {"machine", "config", "seed", "numpy", "numba"} <= about.keys()
    assert (tmp_path / "bench.md").read_text(encoding="utf-8") == capsys.readouterr().out
