"""Every figure draws, its numbers are accounted for, and no simulation runs twice."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import polars
import pytest

from figures import _gallery, _redraw, _tables, figures
from figures._agreement import Compared
from spectheory.errors import UnknownName
from spectheory.literature.printed import Agreement, number
from spectheory.literature.reported import citation_keys


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("out")


def quick_inputs(name):
    module = figures()[name]
    return getattr(module, "quick", module.inputs)


@pytest.mark.parametrize("name", figures())
def test_figure_is_drawn_and_its_simulations_run_once(name, out, monkeypatch, capsys):
    (drawn,) = _redraw.redraw([name], out, quick=True, gallery=False)
    assert 5_000 < drawn.path.stat().st_size < 150_000
    capsys.readouterr()
    for sim in quick_inputs(name):
        monkeypatch.setattr(importlib.import_module(f"sims.{sim}"), "run", None)
    list(_redraw.redraw([name], out, quick=True, gallery=False))  # fails if one ran again
    assert "running" not in capsys.readouterr().err


@pytest.mark.parametrize("name", figures())
def test_every_number_has_a_verdict_and_every_difference_a_reason(name, out):
    module = figures()[name]
    assert set(module.references) <= citation_keys()
    inputs = quick_inputs(name)
    tables = {sim: _tables.table(sim, config, out / "tables") for sim, config in inputs.items()}
    rows = list(module.compared(tables)) if hasattr(module, "compared") else []
    assert len({row.printed.name for row in rows}) == len(rows)
    for row in rows:
        assert row.because or row.verdict is not Agreement.DIFFERS, row


def test_gallery_shows_every_figure_with_picture_and_command():
    root = Path(_redraw.__file__).parent
    text = (root / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^`spectheory reproduce (\w+)`$", text, re.M) == list(figures())
    for name in figures():
        assert f"](gallery/{name}.png)" in text
        assert (root / "gallery" / f"{name}.png").stat().st_size < 150_000


def test_table_is_kept_with_its_configuration(tmp_path):
    from sims.canonical_figure_2 import Config

    config = Config(steps=2)
    first = _tables.table("canonical_figure_2", config, tmp_path)
    (path,) = tmp_path.iterdir()
    kept = polars.read_parquet_metadata(path)
    assert kept["config"] == repr(config)
    assert {"spectheory", "numpy", "python"} <= kept.keys()
    assert _tables.table("canonical_figure_2", config, tmp_path).equals(first)
    _tables.table("canonical_figure_2", Config(steps=1), tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_table_of_other_source_is_said_to_be(tmp_path, monkeypatch, capsys):
    from sims.canonical_figure_2 import Config

    first = _tables.table("canonical_figure_2", Config(steps=2), tmp_path)
    capsys.readouterr()
    _tables.table("canonical_figure_2", Config(steps=2), tmp_path)
    assert not capsys.readouterr().err
    monkeypatch.setattr(_tables, "source_digest", lambda *_: "other")
    assert _tables.table("canonical_figure_2", Config(steps=2), tmp_path).equals(first)
    assert "made by other source code" in capsys.readouterr().err


def test_killed_simulation_leaves_no_table(tmp_path, monkeypatch):
    sim = importlib.import_module("sims.canonical_figure_2")

    def killed(config):
        raise KeyboardInterrupt

    monkeypatch.setattr(sim, "run", killed)
    with pytest.raises(KeyboardInterrupt):
        _tables.table("canonical_figure_2", sim.Config(steps=3), tmp_path)
    assert not list(tmp_path.iterdir())


def test_page_says_what_differs_and_what_is_not_judged():
    speed_up = number("sun2023spectr", "speed_up")
    second = number("sun2023spectr", "block_efficiency", "tokens", method="SpecTr")
    rows = [Compared(speed_up, 2.5, "of a test"), Compared(second, 4.0)]
    text = _gallery.page({"one": (_gallery, rows)}, "pictures")
    assert "2.13 x | 2.5 | differs, because of a test |" in text
    assert "second-hand, not judged: 1" in text
    assert "`spectheory reproduce one`" in text


def test_page_says_what_wrote_it(tmp_path, monkeypatch):
    assert "Written by `spectheory reproduce all --gallery`;" in (
        Path(_redraw.__file__).with_name("README.md").read_text(encoding="utf-8")
    )
    module = figures()["cspd_speed"]
    monkeypatch.setattr(_redraw, "figures", lambda: {"cspd_speed": module})
    monkeypatch.setattr(_redraw, "HERE", tmp_path / "source")
    kept = tmp_path / "out"
    for quick, gallery, place, command in (
        (True, False, kept / "figures", "all --quick"),
        (False, False, kept / "figures", "all"),
        (False, True, tmp_path / "source", "all --gallery"),
    ):
        list(_redraw.redraw(["all"], kept, quick=quick, gallery=gallery))
        text = (place / "README.md").read_text(encoding="utf-8")
        assert f"Written by `spectheory reproduce {command}`;" in text


def test_unknown_figure_is_refused(tmp_path):
    with pytest.raises(UnknownName, match=r"no figure `nothing`; there are .*canonical_figure_2"):
        list(_redraw.redraw(["nothing"], tmp_path, quick=True, gallery=False))
