"""The zoo on the command line."""

import json

from spectheory.cli import main
from spectheory.zoo.entry import entries


def test_listing(capsys):
    assert main(["zoo", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["key"] for row in rows] == list(entries())
    assert len(rows) >= 20
    assert all(row["bias"] is None or row["bias"] < 1 for row in rows)
    assert main(["zoo"]) == 0
    assert "uniform_zero" in capsys.readouterr().out


def test_one_entry_is_caught_and_mended_it_is_not(capsys):
    assert main(["zoo", "--run", "shared_gumbel", "--max-draws", "50000", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [(a["audit"], a["caught"]) for a in document["audits"]] == [
        ("marginal", True),
        ("acceptance", True),
    ]
    assert main(["zoo", "--run", "shared_gumbel", "--mended", "--max-draws", "20000"]) == 0
    assert "no evidence" in capsys.readouterr().out


def test_too_few_draws_are_an_exit_code_of_one(capsys):
    assert main(["zoo", "--run", "shared_gumbel", "--max-draws", "1024", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["unexpected"] == ["shared_gumbel: marginal"]


def test_an_unknown_entry_is_bad_input(capsys):
    assert main(["zoo", "--run", "unicorn"]) == 2
    assert "no zoo entry `unicorn`" in capsys.readouterr().err
