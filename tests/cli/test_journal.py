"""Finished work on disk: appended to, read back, torn lines passed over."""

from __future__ import annotations

import json

import pytest

from spectheory.cli.journal import Journal


def test_what_is_finished_is_not_made_again(tmp_path):
    path = tmp_path / "cells.jsonl"
    assert Journal(path).get_or("one", lambda: [1, 2], cell="a") == [1, 2]
    assert json.loads(path.read_text()) == {"key": "one", "cell": "a", "value": [1, 2]}
    journal = Journal(path)
    assert "one" in journal
    assert journal.get_or("one", lambda: pytest.fail("was finished")) == [1, 2]


def test_what_is_no_entry_is_passed_over(tmp_path):
    path = tmp_path / "cells.jsonl"
    Journal(path).get_or("one", lambda: 1)
    with open(path, "a", encoding="utf-8") as file:
        file.write('\n[]\n{"key": "two"}\n{"key": "three", "value": 3')
    journal = Journal(path)
    assert [key in journal for key in ("one", "two", "three")] == [True, False, False]
    assert journal.get_or("three", lambda: 4) == 4
    again = Journal(path)
    assert [again.get_or(key, lambda: pytest.fail("was finished")) for key in ("one", "three")] == [
        1,
        4,
    ]
