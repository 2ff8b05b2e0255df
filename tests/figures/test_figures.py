"""Every figure draws from its tables, and a simulation is not run twice for one configuration."""

from __future__ import annotations

import importlib
import sys

import pytest

from figures import __main__ as command
from figures import figures


@pytest.mark.parametrize("name", figures())
def test_figure_is_drawn_once_computed(name, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["figures", name, "--out", str(tmp_path)])
    command.main()
    assert (tmp_path / "figures" / f"{name}.png").stat().st_size > 10_000
    for sim in figures()[name].inputs:
        monkeypatch.setattr(importlib.import_module(f"sims.{sim}"), "run", None)
    command.main()  # would fail if a simulation ran again
    assert capsys.readouterr().err.count("running") == len(figures()[name].inputs)


def test_unknown_figure_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["figures", "nothing"])
    with pytest.raises(SystemExit):
        command.main()
    assert "no figure nothing" in capsys.readouterr().err
