"""Simulations take no row from their ledger that another configuration, source or version made."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import sims.runner
from sims import audit_false_alarms, audit_power, continuous_couplings, peers_audit, zoo_detect
from sims.runner import Place, source_files

ENTRY = ("uniform_zero",)
RUNS = {
    "audit_false_alarms": (
        audit_false_alarms.run,
        audit_false_alarms.Config(runs=1),
        audit_false_alarms.Config(runs=1, alpha=0.02),
        {"audit_once": {"case": "rejection, V = 8", "run": 0, "alarm": False, "log_e_peak": 0.0}},
    ),
    "audit_power": (
        audit_power.run,
        audit_power.Config(draws=(100,), runs=(2,)),
        audit_power.Config(draws=(100,), runs=(2,), alpha=1e-2),
        {"plan": {"bias": 0.1}, "measure": {"seen": True}},
    ),
    "zoo_detect": (
        zoo_detect.run,
        zoo_detect.Config(keys=ENTRY),
        zoo_detect.Config(keys=ENTRY, max_draws=2_000),
        {
            "audited": {"caught": True, "draws": 5, "p_bound": 0.5},
            "tested": {"passes": True, "draws": 5},
        },
    ),
    "peers_audit": (
        lambda config, place: peers_audit.run(config, [], place),
        peers_audit.Config(),
        peers_audit.Config(alpha=1e-5),
        {"audit_one": {"engine": "one"}},
    ),
    "continuous_couplings": (
        continuous_couplings.run,
        continuous_couplings.Config(),
        continuous_couplings.Config(seed=1),
        {"measure": {"measured": 0.5}},
    ),
}


@pytest.fixture(params=RUNS)
def counted(request, monkeypatch, tmp_path):
    """A simulation whose rows are made up: the cells that a run of a configuration works on."""
    run, *configs, rows = RUNS[request.param]
    called = []
    for name, row in rows.items():

        def work(*cell, name=name, row=row):
            called.append((name, *cell))
            return row

        monkeypatch.setattr(f"sims.{request.param}.{name}", work)
    monkeypatch.setattr(peers_audit, "engines", lambda: {"one": Installed("1.0")})

    def cells(config):
        called.clear()
        run(config, Place(tmp_path))
        return len(called)

    return cells, *configs


class Installed:
    """An engine of some version."""

    def __init__(self, version):
        self.installed = version

    def version(self):
        return self.installed


def test_rows_of_another_configuration_are_not_taken(counted):
    cells, config, other = counted
    made = cells(config)
    assert made > 0
    assert cells(other) == made
    assert cells(config) == 0


def test_rows_of_another_source_are_not_taken(counted, monkeypatch):
    cells, config, _ = counted
    made = cells(config)
    monkeypatch.setattr(sims.runner, "source_digest", lambda sim, sources: "changed")
    assert cells(config) == made


def test_rows_of_another_version_of_an_engine_are_not_taken(tmp_path, monkeypatch):
    called = []
    monkeypatch.setattr(peers_audit, "audit_one", lambda *cell: called.append(cell) or {})
    for version in ("1.0", "1.1", "1.1"):
        monkeypatch.setattr(peers_audit, "engines", lambda v=version: {"one": Installed(v)})
        peers_audit.run(peers_audit.Config(), [], Place(tmp_path))
    assert len(called) == 4  # blocks and stream, of two versions
