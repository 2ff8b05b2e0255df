"""List biased samplers in miniature, or audit them. Exit code 1: one that must be seen was not."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from spectheory.cli.arguments import add_json, count, rate, seed
from spectheory.cli.output import print_json, print_table

if TYPE_CHECKING:
    from spectheory.zoo.detect import Detection
    from spectheory.zoo.entry import ZooEntry

VISIBLE = 0.01
"""Bias per draw from which an entry must be found out within a million draws."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--run",
        dest="chosen",
        metavar="KEY",
        help="audit this entry, or `all`, instead of listing them",
    )
    parser.add_argument(
        "--mended", action="store_true", help="with --run: audit it with the mistake taken out"
    )
    parser.add_argument("--alpha", type=rate, default=1e-3, help="default %(default)s")
    parser.add_argument(
        "--max-draws", type=count, default=1_000_000, metavar="N", help="default %(default)s"
    )
    parser.add_argument("--seed", type=seed, default=0, help="of the draws (default 0)")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """List, or audit; returns the exit code."""
    from spectheory.zoo.entry import entries, entry

    if options.chosen is None:
        listing(list(entries().values()), options.json)
        return 0
    chosen = list(entries().values()) if options.chosen == "all" else [entry(options.chosen)]
    return audit([one.mend() if options.mended else one for one in chosen], options)


def listing(chosen: list[ZooEntry], as_json: bool) -> None:
    """Print what the zoo holds."""
    rows = [(one, bias(one)) for one in chosen]
    if as_json:
        print_json(
            [
                {
                    "key": one.key,
                    "mechanism": one.mechanism,
                    "seen_by": str(one.seen_by),
                    "bias": found,
                    "sources": list(one.sources),
                }
                for one, found in rows
            ]
        )
        return
    print_table(
        f"{len(rows)} biased samplers",
        ["key", "seen by", "bias", "mechanism", "source"],
        [
            (
                one.key,
                str(one.seen_by),
                "" if found is None else f"{found:.2%}",
                one.mechanism,
                one.sources[0] if one.sources else "no public report found",
            )
            for one, found in rows
        ],
        numeric=["bias"],
        caption="seen by: the least audit that sees it. bias: exact total variation of a draw on "
        "the case shown; empty where it depends on the steps before",
    )


def bias(one: ZooEntry) -> float | None:
    """Exact bias of a draw on the entry's case; None for a loop, whose first draw is right."""
    from spectheory.zoo.loop import StreamEntry

    return None if isinstance(one, StreamEntry) else one.bias(*one.case())


def audit(chosen: list[ZooEntry], options: argparse.Namespace) -> int:
    """Audit every entry in every way that it can be, and print what each came to."""
    from spectheory.decoding.progress import progress
    from spectheory.zoo.detect import audits_of, detect

    work = [(one, audit) for one in chosen for audit in audits_of(one)]
    found: list[Detection] = []
    with progress("audits", len(work)) as show:
        for number, (one, kind) in enumerate(work):
            found.append(detect(one, kind, options.alpha, options.max_draws, options.seed))
            show(number + 1)
    wrong = [
        detection
        for (one, _), detection in zip(work, found, strict=True)
        if detection.caught != expected(one, detection)
    ]
    if options.json:
        print_json(
            {
                "alpha": options.alpha,
                "max_draws": options.max_draws,
                "seed": options.seed,
                "mended": options.mended,
                "audits": [one._asdict() | {"audit": str(one.audit)} for one in found],
                "unexpected": [f"{one.key}: {one.audit}" for one in wrong],
            }
        )
    else:
        print_table(
            f"{'Mended entries' if options.mended else 'Entries'} at alpha = {options.alpha:g}",
            ["entry", "audit", "verdict", "draws", "p at most"],
            [
                (
                    one.key,
                    str(one.audit),
                    "caught" if one.caught else "no evidence",
                    f"{one.draws:,}",
                    f"{one.p_bound:.2g}",
                )
                for one in found
            ],
            numeric=["draws", "p at most"],
            caption="no evidence is no proof: `spectheory audit` prints the bias that so many "
            "draws can have missed",
        )
    return 1 if wrong else 0


def expected(one: ZooEntry, detection: Detection) -> bool:
    """Whether this audit must catch this entry; where it may or may not, what it did."""
    from spectheory.zoo.entry import Sight

    if one.mended:
        return False
    size = bias(one)
    if detection.audit is one.seen_by:
        return detection.caught if size is not None and 0 < size < VISIBLE else True
    if detection.audit is Sight.MARGINAL:
        return False  # what only acceptance or a stream shows
    if detection.audit is Sight.STREAM:
        return False  # a law that is right
    return detection.caught
