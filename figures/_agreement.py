"""What was reproduced of a printed number."""

from __future__ import annotations

from typing import Any, NamedTuple

from spectheory.literature.printed import Agreement, Number, agreement
from spectheory.literature.reported import reported


class Compared(NamedTuple):
    """A reproduced value beside the printed one.

    Attributes:
        printed: the number with its place.
        reproduced: our value, in the unit of the print.
        because: where they differ, why; where nothing is judged, a remark.
    """

    printed: Number
    reproduced: float
    because: str = ""

    @property
    def verdict(self) -> Agreement:
        """How they stand to each other."""
        return agreement(self.reproduced, self.printed)


def worked(
    source: str, entry: str, row: dict[str, Any], column: str, by: tuple[str, ...] | None = None
) -> Number:
    """A number of a worked example: a string as printed, or a float rounded to six decimals.

    Args:
        source, entry: where the row stands.
        row: of the table.
        column: the number in it.
        by: the fields that tell the row apart; None for every other string in it.
    """
    value = row[column]
    if by is None:
        by = tuple(name for name, v in row.items() if isinstance(v, str) and name != column)
    key = ", ".join(f"{name}={row[name]}" for name in by)
    name = f"{source}/{entry}" + (f"[{key}]" if key else "") + f".{column}"
    printed = value if isinstance(value, str) else f"{value:.6f}"
    return Number(name, printed, row, column, reported(source)[entry])
