"""``spectheory demo`` end to end on random models: table, figure, resuming."""

from __future__ import annotations

import inspect
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from spectheory.cli import demo, demo_cells, demo_plan, optimum, parser
from spectheory.cli.demo_figure import draw
from spectheory.cli.demo_plan import CELLS, LOGITS, Cell, Config, files_of
from spectheory.cli.logits import Request, collect
from spectheory.decoding import early_exit, ngram, registry
from spectheory.drafting.scheme import schemes
from spectheory.verification.rule import rules

polars = pytest.importorskip("polars")
pytest.importorskip("matplotlib")

ROOT = Path(__file__).parents[2]
SMALL = (
    *("demo", "--pair", "tabular", "--prompts", "random", "--limit", "2", "--positions", "10"),
    *("--k", "1,2,3", "--draws", "4", "--resamples", "40", "--seed", "3", "--threads", "1"),
)
COLUMNS = {
    *("pair", "scheme", "draft", "k", "rule", "acceptance", "acceptance_low", "acceptance_high"),
    *("ladder", "optimum", "optimum_is_exact", "gap", "method", "standard_error", "positions"),
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, str]:
    """An uninterrupted run in a process of its own: its folder and its standard output."""
    folder = tmp_path_factory.mktemp("whole")
    done = subprocess.run(
        [sys.executable, "-m", "spectheory.cli", *SMALL, "--out", str(folder), "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return folder, done.stdout


def table(folder: Path):
    return polars.read_parquet(folder / "tabular.parquet")


def test_list_holds_every_lossless_rule(run):
    done = run("demo", "--pair", "tabular", "--list")
    assert (done.code, done.err) == (0, "")
    cells = {(c["scheme"], c["k"], c["rule"]) for c in done.document["cells"]}
    counts = done.document["k"]
    for key in schemes():
        for k in counts:
            wanted = {r.key for r in rules().values() if r.lossless and r.serves(key, k)}
            found = {name for scheme, n, name in cells if (scheme, n) == (key, k)}
            assert found == wanted | {"optimum"}
    assert {name for _, _, name in cells} >= {r.key for r in rules().values() if r.lossless}


@pytest.mark.parametrize("pair", ["smollm2", "qwen2.5"])
def test_list_of_a_real_pair_loads_nothing(run, pair):
    done = run("demo", "--pair", pair, "--list")
    assert (done.code, done.err) == (0, "")
    assert done.document["pair"] == pair
    assert done.document["k"] == [1, 2, 4, 8]
    assert len(done.document["cells"]) > 50


def test_json_is_one_document_and_its_files_exist(finished):
    folder, out = finished
    document = json.loads(out)
    assert document["pair"] == "tabular"
    assert document["positions"] == 10
    assert {Path(path) for path in document["files"].values()} == {
        folder / f"tabular.{suffix}" for suffix in ("parquet", "png", "pdf")
    }
    assert table(folder).to_dicts() == document["rows"]
    assert document["headline"]


def test_table_figure_and_configuration_are_saved(finished):
    folder, _ = finished
    saved = table(folder)
    assert set(saved.columns) >= COLUMNS
    assert set(saved["scheme"]) == schemes().keys()
    assert set(saved["k"]) == {1, 2, 3}
    assert (folder / "tabular.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "tabular.pdf").read_bytes().startswith(b"%PDF")
    beside = json.loads((folder / "tabular.json").read_text(encoding="utf-8"))
    assert beside["seed"] == 3
    assert beside["config"]["counts"] == [1, 2, 3]
    assert beside["config"]["request"]["positions"] == 10
    assert {"python", "numpy", "spectheory"} <= beside["versions"].keys()


def test_no_rule_is_above_the_optimum(finished):
    folder, _ = finished
    rows = table(folder).to_dicts()
    assert len(rows) > 50
    for row in rows:
        what = {name: row[name] for name in ("scheme", "draft", "k", "rule")}
        slack = 1e-9 + 6 * row["standard_error"]
        assert row["acceptance"] <= row["optimum"] + slack, what
        assert row["ladder"] <= row["acceptance"] + slack, what
        assert row["acceptance_low"] <= row["acceptance"] <= row["acceptance_high"], what
        assert row["gap"] == pytest.approx(row["optimum"] - row["acceptance"], abs=1e-12), what
        if row["rule"] == "optimum":
            assert row["acceptance"] == row["optimum"], what
        if row["rule"] == "optimal_iid":
            assert row["gap"] == pytest.approx(0, abs=1e-9), what
    assert {row["scheme"] for row in rows if not row["optimum_is_exact"]} <= {"heterogeneous"}


def test_second_run_reuses_every_cell_and_gives_the_same_table(finished, run):
    folder, out = finished
    journal = folder / "cells.jsonl"
    before = journal.read_bytes(), journal.stat().st_mtime_ns
    again = run(*SMALL, "--out", folder, "--json")
    assert again.code == 0, again.err
    assert (journal.read_bytes(), journal.stat().st_mtime_ns) == before
    assert again.document == json.loads(out)
    cells = len(before[0].splitlines())
    assert f"{cells} of {cells} measurements were finished" in again.err


def test_text_shows_the_numbers_of_the_table(finished, run):
    folder, out = finished
    done = run(*SMALL, "--out", folder)
    assert done.code == 0, done.err
    assert json.loads(out)["headline"] in done.out
    for key in schemes():
        assert f"{key}, draft" in done.out
    for row in json.loads(out)["rows"]:
        assert f"{row['acceptance']:.3f} [{row['acceptance_low']:.2f}" in done.out


def test_other_seed_measures_again(finished, run, tmp_path):
    folder, _ = finished
    (tmp_path / "cells.jsonl").write_bytes((folder / "cells.jsonl").read_bytes())
    done = run(*SMALL, "--seed", "4", "--k", "1", "--out", tmp_path, "--json")
    assert done.code == 0, done.err
    assert "finished by an earlier run" not in done.err
    assert {row["pair"] for row in done.document["rows"]} == {"tabular"}


SMOLLM2 = Config(Request("smollm2", ("humaneval",), (), 1, 16, 4, 0))


def keys():
    """Of logits, of an optimum's cell and of a rule's."""
    cells = (Cell("iid", "ngram:5", 2, name) for name in ("optimum", "k_seq"))
    return (SMOLLM2.logits_key(), *map(SMOLLM2.cell_key, cells))


def weights(folder, sha256):
    """Stand-in for a converted model."""
    stamp = folder / "models" / "smollm2" / registry.STAMP
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.write_text(json.dumps({"sha256": sha256}))


def test_logits_and_cells_of_other_weights_have_other_names(monkeypatch, tmp_path):
    monkeypatch.setenv("SPECTHEORY_CACHE", str(tmp_path))
    weights(tmp_path, "first")
    before = keys()
    assert keys() == before
    weights(tmp_path, "second")
    assert not set(keys()) & set(before)


@pytest.mark.parametrize(("parts", "changed"), [(LOGITS, (0, 1, 2)), (CELLS, (1, 2))])
def test_logits_and_cells_of_other_code_have_other_names(monkeypatch, parts, changed):
    before, code = keys(), demo_plan._code
    monkeypatch.setattr(demo_plan, "_code", lambda p: "edited" if p == parts else code(p))
    after = keys()
    assert tuple(i for i in range(3) if after[i] != before[i]) == changed


def test_the_code_of_logits_and_cells_is_looked_at():
    for parts, modules in ((LOGITS, (ngram, early_exit)), (CELLS, (demo_cells, optimum))):
        assert {Path(inspect.getsourcefile(m)) for m in modules} <= set(files_of(parts))
        assert all(files_of((part,)) for part in parts)


def test_logits_are_named_by_the_weights_that_logging_fetched(monkeypatch, tmp_path):
    monkeypatch.setenv("SPECTHEORY_CACHE", str(tmp_path))
    options = parser().parse_args([*SMALL])
    tabular, asked = Request.of("tabular", options), []

    def fetching(request, allow_unofficial):
        asked.append(request)
        weights(tmp_path, "fetched")
        return collect(tabular)

    monkeypatch.setattr(demo, "collect", fetching)
    for _ in range(2):
        demo.logits(SMOLLM2, tmp_path, False)
    assert asked == [SMOLLM2.request]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_killed_run_goes_on_to_the_same_table(finished, run, tmp_path):
    whole, _ = finished
    journal = tmp_path / "cells.jsonl"
    process = subprocess.Popen(
        [sys.executable, "-m", "spectheory.cli", *SMALL, "--out", str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        end = time.monotonic() + 90
        while lines(journal) < 3:
            assert process.poll() is None, "finished before it could be killed"
            assert time.monotonic() < end
            time.sleep(0.002)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    before = journal.read_bytes()
    total = len((whole / "cells.jsonl").read_bytes().splitlines())
    assert 3 <= before.count(b"\n") < total
    assert not (tmp_path / "tabular.parquet").exists()

    done = run(*SMALL, "--out", tmp_path, "--json")
    assert done.code == 0, done.err
    assert journal.read_bytes().startswith(before)
    assert table(tmp_path).equals(table(whole))
    assert (tmp_path / "tabular.pdf").read_bytes() == (whole / "tabular.pdf").read_bytes()


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_torn_last_line_is_measured_again(finished, run, tmp_path):
    whole, _ = finished
    for file in whole.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    kept = (whole / "cells.jsonl").read_bytes().splitlines(keepends=True)
    torn = b"".join(kept[:-1]) + kept[-1][: len(kept[-1]) // 2]
    journal = tmp_path / "cells.jsonl"
    journal.write_bytes(torn)
    done = run(*SMALL, "--out", tmp_path, "--json")
    assert done.code == 0, done.err
    assert f"{len(kept) - 1} of {len(kept)} measurements" in done.err
    assert table(tmp_path).equals(table(whole))
    after = journal.read_bytes().splitlines()
    assert after[: len(kept) - 1] == [line.rstrip(b"\n") for line in kept[:-1]]
    assert json.loads(after[-1])["value"]["acceptance"] == pytest.approx(
        json.loads(kept[-1])["value"]["acceptance"], abs=0
    )
    assert run(*SMALL, "--out", tmp_path, "--json").err.count(f"{len(kept)} of {len(kept)}") == 1


def test_the_figure_stands_an_interval_that_rounding_ends_short_of_its_mean(finished, tmp_path):
    _, out = finished
    rows = json.loads(out)["rows"]
    for row in rows:
        row["acceptance_low"] = row["acceptance"] + 1e-16 + 1e-16 * row["acceptance"]
    options = parser().parse_args([*SMALL])
    config = Config(Request.of(options.pair, options), counts=options.k)
    png, pdf = draw(tmp_path / "tabular.png", config, rows)
    assert png.stat().st_size > 10_000
    assert pdf.exists()
