"""Printed numbers: digits read with their rounding, and whether a reproduced value agrees.

``2.13`` stands for every value that rounds to it: within 0.005. Also read: ``2.26±.05`` (a mean
and its printed spread), ``>2`` and ``400000+`` (at least), ``<=3`` (at most, as in "up to"),
``2.8-5.8`` (a range), ``5.33e-23``, and ``~40`` (about: no rounding is known, so not judged).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum
from fractions import Fraction
from typing import Any, NamedTuple

from spectheory.errors import UnknownName
from spectheory.literature.reported import Reported, UnplacedNumber, reported

DIGITS = r"-?(?:\d+\.?\d*|\.\d+)(?:e-?\d+)?"
FORM = re.compile(
    rf"(?P<sign>~|>=?|<=?)?(?P<low>{DIGITS})"
    rf"(?:(?P<more>\+)|±(?P<spread>{DIGITS})|-(?P<high>{DIGITS}))?"
)


class Interval(NamedTuple):
    """The values that a print stands for, ends included; None where it is open."""

    low: Fraction | None
    high: Fraction | None

    def __contains__(self, value: object) -> bool:
        above = self.low is None or self.low <= value  # type: ignore[operator]
        return above and (self.high is None or value <= self.high)  # type: ignore[operator]


class Agreement(StrEnum):
    """How a reproduced value stands to a printed one."""

    AGREES = "agrees within printed rounding"
    COMPUTED = "agrees with independent code"
    DIFFERS = "differs"
    SECOND_HAND = "second-hand, not judged"
    APPROXIMATE = "approximate in print, not judged"


class Number(NamedTuple):
    """One printed number with its place.

    Attributes:
        name: ``source/entry[row].column``, unique over the literature data.
        printed: the digits.
        row: the fields that tell its row from the others; empty outside a table.
        column: its field in the row; empty outside a table.
        place: the entry it stands in.
    """

    name: str
    printed: str
    row: dict[str, Any]
    column: str
    place: Reported

    @property
    def value(self) -> float:
        """The number: the mean of a spread, the middle of a range, the finite end of a bound."""
        parts = _parts(self.printed)
        low = Fraction(parts["low"])
        return float((low + Fraction(parts["high"])) / 2 if parts["high"] else low)

    @property
    def ends(self) -> tuple[float, ...]:
        """The numbers that are printed: one, or both ends of a range."""
        parts = _parts(self.printed)
        return tuple(float(Fraction(parts[end])) for end in ("low", "high") if parts[end])

    @property
    def interval(self) -> Interval | None:
        """The values that print so; None for an approximate number."""
        parts = _parts(self.printed)
        sign, spread = parts["sign"], Fraction(parts["spread"] or 0)
        if sign == "~":
            return None
        low, high = parts["low"], parts["high"] or parts["low"]
        open_above = parts["more"] or sign.startswith(">")
        return Interval(
            None if sign.startswith("<") else Fraction(low) - _half_unit(low) - spread,
            None if open_above else Fraction(high) + _half_unit(high) + spread,
        )


def numbers(source: str) -> Iterator[Number]:
    """Every printed number of a source; a plain list is data, not a result, and gives none.

    Raises:
        UnknownName: no such source.
        UnplacedNumber: an entry without its place, a row named twice, or digits that are none.

    >>> [n.printed for n in numbers("sun2023spectr")][:2]
    ['2.13', '1.37']
    """
    for entry, place in reported(source).items():
        yield from _numbers(f"{source}/{entry}", place)


def number(source: str, entry: str, column: str = "", **row: object) -> Number:
    """One printed number.

    Args:
        source: citation key.
        entry: name of the entry.
        column: field of the row; needed in a table only.
        row: the fields that single out the row.

    Raises:
        UnknownName: there is none; the message lists those there are.

    >>> number("sun2023spectr", "block_efficiency", "tokens", method="SpecTr").value
    4.0
    """
    found = {n.name: n for n in numbers(source) if n.name.startswith(f"{source}/{entry}")}
    wanted = _name(f"{source}/{entry}", row, column)
    if wanted not in found:
        have = ", ".join(found) or ", ".join(reported(source))
        raise UnknownName(f"no number `{wanted}` in the literature data; there are {have}")
    return found[wanted]


def agreement(reproduced: float | Fraction, printed: Number) -> Agreement:
    """Whether a reproduced value rounds to the printed digits, or to those of independent code.

    Only what was read in the source, or computed independently, is judged.

    Args:
        reproduced: in the unit of the print.
        printed: from `number`.

    >>> speed_up = number("sun2023spectr", "speed_up")
    >>> agreement(2.1349, speed_up).name, agreement(2.1351, speed_up).name
    ('AGREES', 'DIFFERS')
    """
    if printed.place.hand == "second-hand":
        return Agreement.SECOND_HAND
    if printed.interval is None:
        return Agreement.APPROXIMATE
    if Fraction(reproduced) not in printed.interval:
        return Agreement.DIFFERS
    return Agreement.COMPUTED if printed.place.hand == "computed" else Agreement.AGREES


def _numbers(name: str, place: Reported) -> Iterator[Number]:
    if isinstance(place.value, str):
        _parts(place.value, name)
        yield Number(name, place.value, {}, "", place)
        return
    if isinstance(place.value, list) and not any(isinstance(row, dict) for row in place.value):
        return
    seen: set[str] = set()
    for fields in [place.value] if isinstance(place.value, dict) else place.value:
        missing = [key for key in place.by if key not in fields]
        if missing:
            raise UnplacedNumber(f"{name}: row {fields} lacks {', '.join(missing)}")
        row = {key: fields[key] for key in place.by}
        for column in (key for key in fields if key not in row):
            number_name = _name(name, row, column)
            if number_name in seen:
                raise UnplacedNumber(f"{number_name} stands twice; `by` must tell the rows apart")
            seen.add(number_name)
            _parts(fields[column], number_name)
            yield Number(number_name, fields[column], row, column, place)


def _name(entry: str, row: dict[str, Any], column: str) -> str:
    where = ", ".join(f"{key}={value}" for key, value in row.items())
    return entry + (f"[{where}]" if where else "") + (f".{column}" if column else "")


def _parts(printed: str, name: str = "number") -> dict[str, str]:
    match = FORM.fullmatch(printed) if isinstance(printed, str) else None
    if match is None:
        raise UnplacedNumber(
            f"{name} is {printed!r}; expected the digits as printed, in quotes, such as '2.13', "
            "'2.26±.05', '>2', '2.8-5.8'"
        )
    return {key: value or "" for key, value in match.groupdict().items()}


def _half_unit(digits: str) -> Fraction:
    """Half a unit of the last printed digit."""
    mantissa, _, exponent = digits.partition("e")
    decimals = len(mantissa.partition(".")[2])
    return Fraction(10) ** (int(exponent or 0) - decimals) / 2
