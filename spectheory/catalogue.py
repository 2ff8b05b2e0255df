"""Renders the tables made from what there is: the README's catalogue of schemes and rules."""

from __future__ import annotations

import argparse
import inspect
import sys
from pathlib import Path

from spectheory.drafting.scheme import DraftScheme, schemes
from spectheory.errors import InputError
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
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise InputError(f"expected the lines {BEGIN!r} and {END!r} around the catalogue")
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def main(arguments: list[str] | None = None) -> int:
    """Print the catalogue, write it into a README, or check that a README is up to date."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--write", type=Path, metavar="README")
    parser.add_argument("--check", type=Path, metavar="README")
    options = parser.parse_args(arguments)
    file = options.write or options.check
    if not file:
        print(table())
        return 0
    text = file.read_text()
    try:
        fresh = _replaced(text)
    except InputError as error:
        print(f"{file}: {error}", file=sys.stderr)
        return 1
    if options.write:
        file.write_text(fresh)
    elif fresh != text:
        print(f"{file}: the catalogue is stale; run `make readme`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
