"""``spectheory rules``: the catalogue."""

from __future__ import annotations

from spectheory.drafting.scheme import schemes
from spectheory.literature.reported import citation_keys
from spectheory.verification.rule import rules

ISSUED = {
    "rejection": True,
    "naive": True,
    "nss": True,
    "k_seq": True,
    "recursive": True,
    "recursive_without_replacement": True,
    "spechub": True,
    "greedy_optimal": True,
    "gumbel_list": True,
    "typical": False,
    "threshold": False,
}


def test_json_lists_every_rule_with_its_status(run):
    done = run("rules", "--json")
    assert (done.code, done.err) == (0, "")
    listed = {entry["key"]: entry for entry in done.document}
    assert listed.keys() == rules().keys()
    assert len(listed) == len(done.document)
    assert {key: listed[key]["lossless"] for key in ISSUED} == ISSUED
    for key, entry in listed.items():
        assert {"key", "lossless", "reference", "schemes"} <= entry.keys()
        assert entry["reference"] in citation_keys()
        assert entry["schemes"], key
        assert set(entry["schemes"]) <= schemes().keys()
        assert entry["lossless"] is rules()[key].lossless


def test_table_names_every_rule(run):
    done = run("rules")
    assert (done.code, done.err) == (0, "")
    lines = [line for line in done.out.splitlines() if "│ lossless" in line or "│ lossy" in line]
    for key in rules():
        assert any(f"│ {key} " in line for line in lines), key
