"""Simulations take no row from their ledger that another configuration, source or version made."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import sims.runner
import spectheory
from sims import (
    audit_false_alarms,
    audit_power,
    continuous_couplings,
    multi_draft_decoding,
    peers_audit,
    zoo_detect,
)
from sims.runner import AUDIT, SOURCES, Place, source_files

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


LEDGERS = {
    "audit_false_alarms": AUDIT,
    "audit_power": AUDIT,
    "block_efficiency": SOURCES,
    "continuous_couplings": continuous_couplings.SOURCES,
    "multi_draft_decoding": (*SOURCES, "batched/*.py", *multi_draft_decoding.DECODING),
    "parallel_drafting": SOURCES,
    "peers_audit": peers_audit.SOURCES,
    "sweep": SOURCES,
    "zoo_detect": zoo_detect.SOURCES,
}
"""Simulations by the parts of the library that stand in the names of their ledgers."""

NO_NUMBERS = {"sims.runner", "sims.audit_false_alarms", "spectheory.cli.style"}
"""Modules that decide no number of a ledger: `sims.audit_false_alarms` lends an interval."""


@pytest.mark.parametrize("sim", LEDGERS)
def test_all_that_a_simulation_imports_names_its_ledger(sim):
    files = set(source_files(sim, LEDGERS[sim]))
    here, library = Path(sims.runner.__file__).parent, Path(spectheory.__file__).parent
    tree = ast.parse((here / f"{sim}.py").read_text())
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    own = {name for name in modules if name.startswith(("sims.", "spectheory."))} - NO_NUMBERS
    assert own
    for name in own:
        root = here if name.startswith("sims.") else library
        path = root.joinpath(*name.split(".")[1:]).with_suffix(".py")
        assert path in files, name


def test_the_code_behind_drafts_and_optima_names_ledgers():
    library = Path(spectheory.__file__).parent
    texts = source_files("multi_draft_decoding", LEDGERS["multi_draft_decoding"])
    assert library / "decoding" / "ngram.py" in texts
    assert library / "decoding" / "models.toml" in texts
    assert library / "cli" / "optimum.py" in source_files("sweep")
    for sources in LEDGERS.values():
        for part in sources:
            assert source_files("none", [part]) != source_files("none", []), part
