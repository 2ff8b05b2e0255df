"""A rule that another package brings by one file and an entry point joins everything."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

RULE = '''
"""A rule from outside."""

from dataclasses import dataclass

from spectheory.verification.rejection import Rejection


@dataclass(frozen=True)
class Renamed(Rejection):
    """Rejection under another key, as an outside package would add a rule.

    Reference: leviathan2023fast.
    """

    key = "outside_rule"
    lossless_under = ("iid",)
'''


@pytest.fixture
def environment(tmp_path):
    """A directory on the path that looks like an installed distribution with an entry point."""
    (tmp_path / "outside_rules").mkdir()
    (tmp_path / "outside_rules" / "__init__.py").write_text("")
    (tmp_path / "outside_rules" / "renamed.py").write_text(RULE)
    info = tmp_path / "outside_rules-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: outside-rules\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[spectheory]\nrules = outside_rules\n")
    return {**os.environ, "PYTHONPATH": str(tmp_path)}


def run(environment, *arguments):
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True
    )


def test_it_is_in_the_command_line(environment):
    listed = run(environment, "-m", "spectheory.cli", "rules", "--json")
    assert listed.returncode == 0, listed.stderr
    assert "outside_rule" in {entry["key"] for entry in json.loads(listed.stdout)}


def test_it_is_in_the_demo(environment):
    listed = run(environment, "-m", "spectheory.cli", "demo", "--list")
    assert listed.returncode == 0, listed.stderr
    assert "outside_rule" in listed.stdout


def test_it_is_tested(environment):
    listed = run(environment, "-m", "pytest", "--collect-only", "-q", "tests/test_conformance.py")
    assert listed.returncode == 0, listed.stdout
    assert "test_rule[outside_rule-iid-output_law_is_exact]" in listed.stdout
    assert "test_rule_on_another_backend[outside_rule-iid-torch]" in listed.stdout
    passed = run(
        environment, "-m", "pytest", "-q", "tests/test_conformance.py", "-k", "outside_rule"
    )
    assert passed.returncode == 0, passed.stdout


def test_the_readme_check_asks_for_it(environment):
    checked = run(environment, "-m", "spectheory.catalogue", "--check", "README.md")
    assert checked.returncode == 1
    assert "stale" in checked.stderr
    assert "outside_rule" in run(environment, "-m", "spectheory.catalogue").stdout
