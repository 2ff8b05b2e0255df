"""``spectheory reproduce``: draws, lists, refuses."""

from __future__ import annotations

import importlib
import sys

import pytest

from figures import figures


def test_draws_a_figure_and_counts_its_numbers(run, tmp_path):
    done = run("reproduce", "canonical_figure_2", "--out", tmp_path)
    assert done.code == 0
    picture = tmp_path / "figures" / "canonical_figure_2.png"
    assert done.out.strip() == f"{picture}: agrees with independent code: 48"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "canonical_figure_2: running Config(" in done.err


def test_json_is_one_document_with_every_number(run, tmp_path):
    done = run("reproduce", "canonical_figure_2", "--out", tmp_path, "--json")
    (drawn,) = done.document
    assert len(drawn["numbers"]) == 48
    for number in drawn["numbers"]:
        assert number["verdict"] == "agrees with independent code"
        assert number["here"] == pytest.approx(float(number["printed"]), abs=6e-7)
    assert list(run("reproduce", "--list", "--json").document) == list(figures())


def test_lists_every_figure(run):
    lines = run("reproduce", "--list").out.splitlines()
    assert [line.partition(":")[0] for line in lines] == list(figures())


def test_refuses_an_unknown_figure(run, tmp_path):
    done = run("reproduce", "nothing", "--out", tmp_path)
    assert "no figure `nothing`; there are " in done.complaint


def test_refuses_half_a_gallery(run):
    assert "--gallery" in run("reproduce", "--gallery", "--quick").complaint


def test_says_what_is_missing_without_the_figures(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "figures._redraw", None)
    done = run("reproduce", "canonical_figure_2")
    assert done.code == 1
    assert "run from the source tree" in done.err


def test_module_is_the_same_command(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["figures", "--list"])
    with pytest.raises(SystemExit, match=r"^0$"):
        importlib.import_module("figures.__main__")
    assert "canonical_figure_2" in capsys.readouterr().out
