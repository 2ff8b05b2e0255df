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


def worked(source: str, entry: str, row: dict[str, Any], column: str) -> Number:
    """A number of a worked example, which is stored as a float rounded to six decimals."""
    place = reported(source)[entry]
    key = ", ".join(f"{name}={value}" for name, value in row.items() if isinstance(value, str))
    return Number(f"{source}/{entry}[{key}].{column}", f"{row[column]:.6f}", row, column, place)
