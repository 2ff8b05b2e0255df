"""The sweep on logged logits of a real model: scheme x rule x k x temperature x draft.

``python -m sims.sweep_logged`` reads the file that this command writes (other files by name)::

    spectheory logits smollm2 --longest 256 --out out/logits/smollm2_text.npz

Laws are those along given texts, not along texts that the target wrote. Everything else is as in
`sims.sweep`.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from sims.runner import main
from sims.sweep import Config, run, shown
from sims.sweep_laws import logged_file
from spectheory.cli.style import OPTIMUM
from spectheory.errors import InputError

if TYPE_CHECKING:
    import polars

FILE = "out/logits/smollm2_text.npz"

QUICK = Config(logits=(FILE,), qualities=(), positions=16, draws=16, few=2)
FULL = Config(
    logits=(FILE,),
    qualities=(),
    positions=200,
    temperatures=(0.4, 0.6, 0.8, 1.0, 1.2),
    counts=(1, 2, 4, 8),
    draws=16,
    few=8,
)


def render(config: Config, table: polars.DataFrame) -> str:
    """Acceptances at temperature 1 or the nearest to it, by draft and k."""
    import polars

    heat = min(config.temperatures, key=lambda t: abs(t - 1))
    lines = [
        "# Acceptance on logged logits by draft, draft scheme, rule and number of drafts",
        "",
        f"Temperature {heat:g}, seed {config.seed}. Acceptance is P(output is one of the k "
        "drafts), a mean over positions. After ±, one standard error of what was drawn, "
        f"{config.draws} draft tuples a position; that positions are a sample of text is not in "
        f"it. Rules with iterative set-up stand on {config.few} positions only (marked *). The "
        "drafts of scheme `heterogeneous` are the one named and those after it, going round. "
        "`gap`: the least and the largest distance to the optimum at the same positions, over all "
        "k and temperatures. The Parquet file beside holds every temperature. Made by "
        "`python -m sims.sweep_logged`.",
    ]
    for source in config.logits:
        logged = logged_file(source)
        lines += [
            "",
            f"## {logged.meta['target']}, V = {logged.meta['vocab_size']:,}, "
            f"{min(config.positions, len(logged.target))} positions of {logged.meta['prompts']} "
            "texts",
        ]
        for draft in logged.drafts:
            here = table.filter((polars.col("source") == source) & (polars.col("quality") == draft))
            lines += ["", *_section(config, draft, here, heat)]
    return "\n".join(lines) + "\n"


def _section(config: Config, draft: str, table: polars.DataFrame, heat: float) -> list[str]:
    """One draft: a line a scheme and rule."""
    import polars

    overlaps = ", ".join(
        f"{value:.4f} at {t:g}"
        for t, value in table.filter(polars.col("rule") == OPTIMUM)
        .group_by("temperature", maintain_order=True)
        .agg(polars.col("overlap").first())
        .iter_rows()
    )
    lines = [
        f"### `{draft}`: overlap {overlaps}",
        "",
        "| scheme | rule | " + " | ".join(f"k = {k}" for k in config.counts) + " | gap |",
        "|---|---|" + "--:|" * (len(config.counts) + 1),
    ]
    for (scheme, key), part in table.group_by("scheme", "rule", maintain_order=True):
        at = part.filter(polars.col("temperature") == heat)
        by_count = {row["k"]: row for row in at.iter_rows(named=True)}
        cells = " | ".join(shown(by_count.get(k)) for k in config.counts)
        # Adding 0 takes the sign off a zero.
        low, high = (round(end, 4) + 0.0 for end in (part["gap"].min(), part["gap"].max()))
        gap = "" if key == OPTIMUM else f"{low:.4f} to {high:.4f}"
        lines.append(f"| `{scheme}` | `{key}` | {cells} | {gap} |")
    return lines


def command(arguments: list[str] | None = None) -> None:
    """`runner.main` on other files, if wanted.

    Raises:
        InputError: no such file.
    """
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--logits", nargs="+", default=[FILE], metavar="FILE.npz")
    options, rest = parser.parse_known_args(arguments)
    for file in options.logits:
        try:
            open(file, "rb").close()
        except OSError as error:
            raise InputError(
                f"`--logits`: {file} cannot be read ({error.strerror}); `spectheory logits smollm2 "
                f"--longest 256 --out {FILE}` logs one"
            ) from error
    quick, full = (replace(config, logits=tuple(options.logits)) for config in (QUICK, FULL))
    main("sweep_logged", __doc__ or "", quick, full, run, render, rest)


if __name__ == "__main__":
    command(sys.argv[1:])
