"""The gallery page: every figure, its command, and how its numbers stand to the papers'."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from types import ModuleType

from figures._agreement import Compared
from spectheory.literature.printed import Agreement

SHORT = 8
"""Agreement tables up to this many rows stand open."""

HEAD = """# Gallery

Written by `spectheory reproduce all{option}`; do not edit. Every value is computed here by the
library; the papers' numbers come from `spectheory/literature`, where each stands with its place.

- agrees within printed rounding: our value rounds to the digits of the paper;
- agrees with independent code: to those of a worked example of the paper's setting, computed by a
  linear program or formulas that share nothing with the library;
- differs, because: it does not, and why;
- second-hand, not judged: the number was read about, not in the source, so it settles nothing.
"""


def page(
    drawn: dict[str, tuple[ModuleType, list[Compared]]], pictures: str, option: str = ""
) -> str:
    """The page in Markdown.

    Args:
        drawn: figure modules by name, with what they reproduced.
        pictures: folder of the pictures, as seen from the page.
        option: of the command that writes the page, after ``all``.
    """
    total = Counter(row.verdict for _, rows in drawn.values() for row in rows)
    lines = [HEAD.format(option=option and f" {option}"), "In all " + _counts(total) + ".", ""]
    for name, (module, rows) in drawn.items():
        title, _, rest = (module.__doc__ or "").partition("\n")
        lines += [
            f"## {title.rstrip('.')}",
            "",
            f"![{name}]({pictures}/{name}.png)",
            "",
            *([rest.strip(), ""] if rest.strip() else []),
            f"`spectheory reproduce {name}`",
            "",
            *(_agreement_table(rows) if rows else ["No printed number is reproduced here."]),
            "",
        ]
    return "\n".join(lines).rstrip() + "\n"


def summary(rows: Iterable[Compared]) -> str:
    """How many numbers agree, differ or were not judged, in words."""
    return _counts(Counter(row.verdict for row in rows))


def _agreement_table(rows: list[Compared]) -> list[str]:
    table = ["| number | there | here | verdict |", "|---|--:|--:|---|"]
    for row in rows:
        unit = row.printed.place.unit
        joint = ", because " if row.verdict is Agreement.DIFFERS else "; "
        verdict = row.verdict.value + (joint + row.because if row.because else "")
        printed = row.printed.printed + (f" {unit}" if unit in ("x", "%", "s") else "")
        table.append(f"| `{row.printed.name}` | {printed} | {row.reproduced:.6g} | {verdict} |")
    if len(rows) <= SHORT:
        return table
    return [f"<details><summary>{summary(rows)}</summary>", "", *table, "", "</details>"]


def _counts(verdicts: Counter[Agreement]) -> str:
    return ", ".join(f"{v.value}: {verdicts[v]}" for v in Agreement if verdicts[v]) or "no number"
