"""Print the overlap of two densities, bounds on it, and what k drafts can make of it."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING, Any

from spectheory.cli.arguments import add_json, count, seed
from spectheory.cli.output import print_json, print_table

if TYPE_CHECKING:
    from spectheory.continuous.pair import ContinuousPair


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    from spectheory.continuous.specification import usage

    parser.add_argument("target", help=f"one of {usage()}, or a .json file with a mixture")
    parser.add_argument("draft", help="the draft density, written the same way")
    parser.add_argument("--k", type=count, default=1, help="number of drafts (default 1)")
    parser.add_argument(
        "--draws", type=count, default=1 << 18, help="for estimates where nothing exact is known"
    )
    parser.add_argument("--seed", type=seed, default=0, help="of the estimates")
    add_json(parser)


def run(options: argparse.Namespace) -> None:
    """Print the overlap, the bounds and the couplings."""
    from spectheory.continuous.pair import ContinuousPair
    from spectheory.continuous.specification import density

    pair = ContinuousPair(density(options.target), density(options.draft))
    document = {"target": options.target, "draft": options.draft} | summary(
        pair, options.k, options.draws, options.seed
    )
    if options.json:
        print_json(document)
    else:
        show(document)


def summary(pair: ContinuousPair, k: int, draws: int, seed: int) -> dict[str, Any]:
    """The JSON document. Logarithms of 0 and what is not known are null."""
    import numpy as np

    from spectheory.continuous.bounds import acceptance_bounds
    from spectheory.continuous.multi_draft import log_optimal_acceptance
    from spectheory.continuous.overlap import overlap, ratio_law
    from spectheory.errors import NoRatioLaw

    found = overlap(pair, np.random.default_rng(seed), draws)
    try:
        log_optimum = log_optimal_acceptance(ratio_law(pair), k)
    except NoRatioLaw:
        log_optimum = math.nan
    return {
        "dimension": pair.dimension,
        "overlap": {
            "value": found.value,
            "log": finite(found.log),
            "method": found.method,
            "exact": found.exact,
            "low": found.low,
            "high": found.high,
            "error_rate": found.error_rate,
        },
        "bounds": [
            {
                "side": bound.side,
                "name": bound.name,
                "formula": bound.formula,
                "value": bound.value,
                "log": finite(bound.log),
                "tightest": bound.tightest,
            }
            for bound in acceptance_bounds(pair, np.random.default_rng(seed), draws)
        ],
        "k": k,
        "optimum": finite(math.exp(log_optimum)),
        "log_optimum": finite(log_optimum),
        "rules": rules(pair, k),
    }


def rules(pair: ContinuousPair, k: int) -> list[dict[str, Any]]:
    """Acceptance of each coupling that serves the pair, best first; some use one draft only."""
    from spectheory.continuous.coupling import couplings
    from spectheory.errors import NoRatioLaw

    rows: list[dict[str, Any]] = []
    for key, coupling in couplings().items():
        drafts = k if coupling.most_drafts is None else min(k, coupling.most_drafts)
        if coupling.serves(pair, drafts):
            try:
                value: float | None = coupling.acceptance(pair, drafts)
            except NoRatioLaw:
                value = None
            rows.append({"key": key, "drafts": drafts, "acceptance": value})
    return sorted(rows, key=lambda row: (row["acceptance"] is None, -(row["acceptance"] or 0)))


def finite(value: float) -> float | None:
    """The value, or None where JSON has no number for it."""
    return value if math.isfinite(value) else None


def show(document: dict[str, Any]) -> None:
    """The document for a person."""
    found = document["overlap"]
    interval = "" if found["exact"] else f" [{found['low']:.6g}, {found['high']:.6g}]"
    print(f"{found['value']:.9g}{interval}  overlap ({found['method']})")
    if document["optimum"] is not None:
        print(f"{document['optimum']:.9g}  most that k = {document['k']} drafts can accept")
    print_table(
        "bounds on the overlap",
        ("side", "bound", "formula", "value", ""),
        [
            (b["side"], b["name"], b["formula"], f"{b['value']:.6g}", "*" * b["tightest"])
            for b in document["bounds"]
        ],
        numeric=("value",),
        caption="* the tightest of its side",
    )
    print_table(
        f"couplings, k = {document['k']}",
        ("coupling", "drafts used", "acceptance"),
        [
            (
                row["key"],
                str(row["drafts"]),
                "not known" if row["acceptance"] is None else f"{row['acceptance']:.6f}",
            )
            for row in document["rules"]
        ],
        numeric=("drafts used", "acceptance"),
    )
