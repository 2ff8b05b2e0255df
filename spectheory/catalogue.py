"""Renders the tables made from what there is: the README's catalogue of schemes and rules."""

from __future__ import annotations

import argparse
import inspect
import sys
from pathlib import Path

from spectheory.drafting.scheme import DraftScheme, schemes
from spectheory.verification.rule import VerificationRule, rules

BEGIN, END = "<!-- catalogue: begin -->", "<!-- catalogue: end -->"


def table() -> str:
    """The catalogue as Markdown, as the README shows it."""
    lines = [
        "| scheme | drafts | source |",
        "|---|---|---|",
        *(f"| `{s.key}` | {claim(s)} | {s.reference} |" for s in schemes().values()),
        "",
        "| rule | what it does | output law | under | k | source |",
        "|---|---|---|---|---|---|",
    ]
    for r in rules().values():
        law = "target (law-lossless)" if r.lossless else "lossy, exact bias formula"
        under = ", ".join(f"`{s}`" for s in r.schemes)
        lines.append(
            f"| `{r.key}` | {claim(r)} | {law} | {under} | {draft_counts(r)} | {r.reference} |"
        )
    return "\n".join(lines)


def claim(thing: DraftScheme | VerificationRule) -> str:
    """First line of the class docstring."""
    first = (inspect.getdoc(type(thing)) or "").partition("\n")[0]
    return first.replace("``", "`").rstrip(".")


def draft_counts(rule: VerificationRule) -> str:
    """The numbers of drafts that a rule is defined for, for a table cell."""
    least, most = rule.least_drafts, rule.most_drafts
    if most is None:
        return "any" if least == 1 else f"{least} or more"
    return str(least) if least == most else f"{least} to {most}"


def _replaced(text: str) -> str:
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def main(arguments: list[str] | None = None) -> int:
    """Print the catalogue, write it into a README, or check that a README is up to date."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--write", type=Path, metavar="README")
    parser.add_argument("--check", type=Path, metavar="README")
    options = parser.parse_args(arguments)
    if options.write:
        options.write.write_text(_replaced(options.write.read_text()))
    elif options.check:
        text = options.check.read_text()
        if BEGIN not in text or _replaced(text) != text:
            print(f"{options.check}: the catalogue is stale; run `make readme`", file=sys.stderr)
            return 1
    else:
        print(table())
    return 0


if __name__ == "__main__":
    sys.exit(main())
