"""Compare every rule that covers the scheme and k, beside the optimum."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING, Any

from spectheory.cli.arguments import add_json, add_pair, add_threads, seed, several
from spectheory.cli.output import print_json, print_table

if TYPE_CHECKING:
    from spectheory.audit.rates import MeasuredRates
    from spectheory.cli.inputs import Pair
    from spectheory.verification.rule import VerificationRule

ITERATED = 50_000
"""Up to this many probabilities, rules with an iterative set-up are compared unasked."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_pair(parser)
    parser.add_argument("--lossy", action="store_true", help="also rules that are lossy by design")
    parser.add_argument(
        "--iterative",
        action="store_true",
        help="also rules whose set-up takes seconds a position (on small inputs they are in)",
    )
    parser.add_argument(
        "--draws",
        type=several,
        default=16,
        metavar="N",
        help="draft tuples a position for rules without a closed form (default %(default)s)",
    )
    parser.add_argument("--seed", type=seed, default=0, help="of those tuples (default 0)")
    add_threads(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> None:
    """Print acceptance and ladder of each rule, means over positions."""
    from spectheory.audit.rates import measure_rates
    from spectheory.cli.inputs import load_pair
    from spectheory.cli.optimum import certified_optima
    from spectheory.verification.rule import rules

    pair = load_pair(options)
    key, k = pair.scheme.key, pair.k
    found_best = certified_optima(pair.target, pair.draft, k, pair.scheme, options.threads)
    best = sum(float(a.value) for a in found_best) / len(found_best)
    exact = all(bool(a.certified) for a in found_best)
    small = pair.target.size <= ITERATED
    measured = {
        rule.key: measure_rates(
            rule,
            pair.scheme,
            pair.target,
            pair.draft,
            k,
            draws=options.draws,
            seed=options.seed,
            threads=options.threads,
        )
        for rule in rules().values()
        if rule.serves(key, k)
        and (rule.lossless or options.lossy)
        and (small or options.iterative or not rule.iterative)
    }
    found = {name: summary(rates) for name, rates in measured.items()}
    for name, entry in found.items():
        entry["lossless"] = rules()[name].lossless
        entry["bias"] = 0.0 if entry["lossless"] else mean_bias(rules()[name], pair)
    if options.json:
        print_json(
            {
                "optimum": best,
                "exact": exact,
                "scheme": key,
                "k": k,
                "positions": len(pair.target),
                "rules": found,
            }
        )
        return
    method = "certified" if exact else "upper bound"
    rows: list[tuple[str, ...]] = [("optimum", f"{best:.6f}", "", "", "", method, "")]
    for name, entry in sorted(found.items(), key=lambda item: -item[1]["acceptance"]):
        error = entry["standard_error"]
        rows.append(
            (
                name if entry["lossless"] else f"{name} (lossy)",
                f"{entry['acceptance']:.6f}",
                f"{best - entry['acceptance']:z.6f}" if entry["lossless"] else "",
                f"{entry['ladder']:.6f}",
                f"± {error:.1g}" if error else "",
                entry["method"],
                "" if entry["lossless"] else f"{entry['bias']:.6f}",
            )
        )
    columns = ["rule", "acceptance", "below optimum", "ladder", "std. error", "method", "bias"]
    caption = "acceptance: P(output is one of the drafts); ladder: P(the accept ladder fires)"
    if options.lossy:
        caption += "; bias: total variation of output and target, by formula"
    else:
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    print_table(
        f"{key}, k = {k}, {len(pair.target)} position{'s'[: len(pair.target) > 1]}",
        columns,
        rows,
        numeric=("acceptance", "below optimum", "ladder", "std. error", "bias"),
        caption=caption,
    )


def summary(rates: MeasuredRates) -> dict[str, Any]:
    """Means over positions; the standard error is that of sampled drafts, 0 where computed."""
    return {
        "acceptance": float(rates.acceptance.mean()),
        "ladder": float(rates.ladder.mean()),
        "method": rates.method,
        "standard_error": math.sqrt(float((rates.error**2).sum())) / len(rates.error),
    }


def mean_bias(rule: VerificationRule, pair: Pair) -> float:
    """Mean over positions of ``TV(output, p)``, by the formula of a declared-lossy rule."""
    from spectheory.distributions import total_variation

    found = [
        float(total_variation(rule.output_law(p, q, pair.k, pair.scheme.key), p))
        for p, q in zip(pair.target, pair.draft, strict=True)
    ]
    return sum(found) / len(found)
