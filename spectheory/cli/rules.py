"""List every verification rule, its status and the draft schemes it covers."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from spectheory.cli.arguments import add_json
from spectheory.cli.output import print_json, print_table

if TYPE_CHECKING:
    from spectheory.verification.rule import VerificationRule


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_json(parser)


def run(options: argparse.Namespace) -> None:
    """Print the catalogue."""
    from spectheory.audit.conformance import FLOAT_TOLERANCE
    from spectheory.catalogue import claim, draft_counts
    from spectheory.verification.rule import rules

    found = rules().values()
    if options.json:
        print_json(
            [
                {
                    "key": rule.key,
                    "lossless": rule.lossless,
                    "reference": rule.reference,
                    "schemes": list(rule.schemes),
                    "description": claim(rule),
                    "least_drafts": rule.least_drafts,
                    "most_drafts": rule.most_drafts,
                    "dominates": list(rule.dominates),
                }
                for rule in found
            ]
        )
        return
    print_table(
        f"{len(found)} verification rules",
        ["rule", "status", "k", "schemes", "what it does", "source"],
        [
            (
                rule.key,
                _status(rule),
                draft_counts(rule),
                ", ".join(rule.schemes),
                claim(rule),
                rule.reference,
            )
            for rule in found
        ],
        caption="lossless: the output law is the target's, checked by enumeration on Fractions "
        f"(lossless*: in float64, to {FLOAT_TOLERANCE:.0e}); "
        "lossy: by design, with an exact formula for its bias",
    )


def _status(rule: VerificationRule) -> str:
    if not rule.lossless:
        return "lossy"
    return "lossless" if rule.exact else "lossless*"
