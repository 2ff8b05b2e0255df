"""Numbers of papers live in the literature data only: no module repeats one of a paper it cites.

A number of three digits or more that equals a printed one of a paper named in the same file is a
copy, whether it stands in code, in a string or in a comment. Shorter numbers are everywhere by
chance, as are numbers of papers that a file does not name.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import cache
from pathlib import Path

import pytest

from spectheory.literature.printed import number, numbers
from spectheory.literature.reported import sources

ROOT = Path(__file__).parents[2]
PAPERS = [source for source in sources() if source not in ("worked_examples", "elton1942ten")]
DECIMAL = re.compile(r"(?<![\w.])\d*\.\d+(?![\w.])")
MODULES = [
    path
    for folder in ("figures", "proofs", "sims", "spectheory")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if path.parent.name != "literature"  # its doctests look printed numbers up
]

BY_CHANCE = {"spectheory/verification/gumbel_list.py": {Fraction("3.75")}}
"""Numbers of another meaning: where the quadrature over time begins."""


def decimals(text: str) -> set[Fraction]:
    """The decimal numbers of three significant digits or more."""
    found = DECIMAL.findall(text)
    return {Fraction(d) for d in found if len(d.replace(".", "").strip("0")) >= 3}


@cache
def printed(source: str) -> frozenset[Fraction]:
    return frozenset().union(*(decimals(n.printed) for n in numbers(source)))


def copies(text: str) -> set[Fraction]:
    """Printed numbers of the papers that the text names."""
    named = [source for source in PAPERS if source in text]
    return decimals(text) & frozenset().union(*map(printed, named))


def test_no_module_repeats_a_number_of_a_paper_that_it_cites():
    assert len(MODULES) > 200
    repeated = {str(path.relative_to(ROOT)): copies(path.read_text("utf-8")) for path in MODULES}
    assert {name: found for name, found in repeated.items() if found} == BY_CHANCE


@pytest.mark.parametrize("line", ["SPEED_UP = {}", '"""Reaches {} x."""', "x = 1  # {} in print"])
@pytest.mark.parametrize("source", ["sun2023spectr", "khisti2025multi", "wang2024continuous"])
def test_a_copied_number_is_found(line, source):
    for digits in printed(source):
        assert copies(f"{line.format(float(digits))}\nreferences = ('{source}',)") >= {digits}


def test_a_number_is_looked_up_with_its_place():
    assert Fraction(number("sun2023spectr", "speed_up").printed) in printed("sun2023spectr")
    assert not copies("SPEED_UP = 2.13  # of no paper that is named")
