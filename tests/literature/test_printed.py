"""Printed digits: what rounds to them, and what is no number."""

from __future__ import annotations

from fractions import Fraction

import pytest

from spectheory.errors import UnknownName
from spectheory.literature.printed import Agreement, Number, agreement, number, numbers
from spectheory.literature.reported import Reported, UnplacedNumber, entries

PLACE = Reported("", "Table 1", "first-hand", version="arXiv v1")


def read(printed, place=PLACE):
    return Number("anon2026/x", printed, {}, "", place)


@pytest.mark.parametrize(
    ("printed", "inside", "outside"),
    [
        ("2.13", "2.1349", "2.1351"),
        ("2.13", "2.1251", "2.1249"),
        ("2.0", "2.04", "2.06"),
        ("2", "2.4", "2.6"),
        (".5009", ".50094", ".50096"),
        ("-1.5", "-1.54", "-1.56"),
        ("2.26±.05", "2.31", "2.32"),
        ("2.26±.05", "2.21", "2.20"),
        (">2", "300", "1.4"),
        ("400000+", "1e9", "399999"),
        ("<=3", "0.2", "3.6"),
        ("2.8-5.8", "4", "5.9"),
        ("2.8-5.8", "2.76", "2.7"),
        ("5.33e-23", "5.334e-23", "5.336e-23"),
    ],
)
def test_agreement_is_within_printed_rounding(printed, inside, outside):
    assert agreement(Fraction(inside), read(printed)) is Agreement.AGREES
    assert agreement(Fraction(outside), read(printed)) is Agreement.DIFFERS


@pytest.mark.parametrize(
    ("printed", "value"),
    [("2.13", 2.13), ("2.8-5.8", 4.3), (">2", 2), ("~40", 40), ("2.26±.05", 2.26), ("7+", 7)],
)
def test_value(printed, value):
    assert read(printed).value == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize(
    ("printed", "ends"), [("2.13", (2.13,)), ("2.8-5.8", (2.8, 5.8)), ("<=3", (3,)), ("~40", (40,))]
)
def test_ends_are_the_numbers_that_are_printed(printed, ends):
    assert read(printed).ends == ends


def test_what_independent_code_computed_is_no_print():
    computed = PLACE._replace(hand="computed")
    assert agreement(2.1349, read("2.13", computed)) is Agreement.COMPUTED
    assert agreement(2.1351, read("2.13", computed)) is Agreement.DIFFERS


def test_second_hand_and_approximate_numbers_are_not_judged():
    quoted = PLACE._replace(hand="second-hand")
    assert agreement(2.13, read("2.13", quoted)) is Agreement.SECOND_HAND
    assert agreement(40, read("~40")) is Agreement.APPROXIMATE


@pytest.mark.parametrize("value", ['""', '"OOM"', '"2,13"', '"2.13x"', '"1-"', '"about 2"', '"."'])
def test_what_is_no_number_is_refused(value, monkeypatch):
    text = f'[x]\nvalue = {{ a = {value} }}\nwhere = "T"\nversion = "v1"\nhand = "first-hand"\n'
    with pytest.raises(UnplacedNumber, match=r"x\.a is .* expected the digits as printed"):
        list(_numbers_of(text, monkeypatch))


def test_a_number_without_quotes_is_refused(monkeypatch):
    text = '[x]\nvalue = { a = 2.130 }\nwhere = "T"\nversion = "v1"\nhand = "first-hand"\n'
    with pytest.raises(UnplacedNumber, match="in quotes"):
        list(_numbers_of(text, monkeypatch))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ('[{ k = 1, a = "2" }, { k = 1, a = "3" }]', "stands twice"),
        ('[{ a = "2" }]', "lacks k"),
    ],
)
def test_rows_that_cannot_be_told_apart_are_refused(rows, message, monkeypatch):
    text = f'[x]\nby = ["k"]\nvalue = {rows}\nwhere = "T"\nversion = "v1"\nhand = "first-hand"\n'
    with pytest.raises(UnplacedNumber, match=message):
        list(_numbers_of(text, monkeypatch))


def test_a_number_is_found_by_row_and_column():
    found = number("khisti2025multi", "acceptance", "K=2", data="XSum", rule="optimal")
    assert found.printed == ".5009"
    assert found.place.hand == "second-hand"
    with pytest.raises(UnknownName, match="data=XSum, rule=optimal"):
        number("khisti2025multi", "acceptance", "K=3", data="XSum", rule="optimal")
    with pytest.raises(UnknownName, match="speed_up"):
        number("sun2023spectr", "slow_down")


def _numbers_of(text, monkeypatch):
    monkeypatch.setattr(
        "spectheory.literature.printed.reported", lambda source: entries(source, text)
    )
    return numbers("anon2026")
