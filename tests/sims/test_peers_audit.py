"""The audit of public engines, small: every way runs, resumes, and its verdicts are told."""

from __future__ import annotations

import pytest

from sims import peers_audit
from sims.runner import Place
from spectheory.adapters.engine import engine
from spectheory.errors import MissingDependency

pytest.importorskip("polars")
SMALL = peers_audit.Config(size=8, positions=3, many=20_000, few=500)


def test_the_table_tells_lossless_engines_from_lossy_ones(tmp_path, monkeypatch):
    for key in ("flashspec", "economize-typical"):
        try:
            engine(key).version()
        except MissingDependency as missing:
            pytest.skip(str(missing))
    place = Place(tmp_path)
    table = peers_audit.run(SMALL, ["flashspec", "economize-typical"], place)
    assert table["way"].to_list() == ["one draft", "blocks", "stream"] * 2
    assert table["biased"].to_list() == [True] * 3 + [False] * 3
    assert (table.filter(table["adapter"] == "flashspec")["single_token"][:2] < 0.1).all()
    text = peers_audit.render(SMALL, table)
    assert text.count("| no evidence of bias") == 3
    monkeypatch.setattr(peers_audit, "audit_one", None)  # all is in the ledger
    assert peers_audit.run(SMALL, ["flashspec", "economize-typical"], place).equals(table)
