"""Draws until our audits find each zoo entry out, beside what engines' own tests say of it.

``python -m sims.zoo_detect`` writes sims/tables/zoo_detect.md and .parquet. An interrupted run goes
on where it was.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from sims.runner import AUDIT, Place
from spectheory.audit.engine_tests import ENGINE_TESTS, engine_verdict
from spectheory.zoo.detect import audits_of, detect
from spectheory.zoo.entry import Sight, entries, entry
from spectheory.zoo.loop import StreamEntry

TABLE = Path(__file__).parent / "tables" / "zoo_detect.md"

SOURCES = (*AUDIT, "decoding/session.py", "decoding/tabular.py", "zoo/*.py")
"""Parts of `spectheory` that verdicts depend on."""


@dataclass(frozen=True)
class Config:
    """What to run.

    Attributes:
        keys: entries; all if empty.
        alpha: false-alarm rate of our audits.
        max_draws: draws, or tokens of a stream, after which an audit gives up.
        right_draws: the same for what is right, as mended entries and first tokens of loops are.
        runs: audits of each mistake, by seed; what is right is audited once.
        tests: engines' tests.
        loop_size: vocabulary of the engines' tests on loops, which are dear at their own.
        loop_draws: steps of the cosine test there.
    """

    keys: tuple[str, ...] = ()
    alpha: float = 1e-3
    max_draws: int = 1_000_000
    right_draws: int = 200_000
    runs: int = 5
    tests: tuple[str, ...] = tuple(ENGINE_TESTS)
    loop_size: int = 16
    loop_draws: int = 200_000


def audited(config: Config, key: str, mended: bool, audit: str, seed: int) -> dict[str, Any]:
    """One audit."""
    one = entry(key).mend() if mended else entry(key)
    draws = config.right_draws if is_right(key, mended, audit) else config.max_draws
    found = detect(one, Sight(audit), config.alpha, draws, seed)
    return {"caught": found.caught, "draws": found.draws, "p_bound": found.p_bound}


def is_right(key: str, mended: bool, audit: str) -> bool:
    """Whether an audit looks at something without a mistake, which one long run is enough for."""
    one = entry(key)
    if mended or not isinstance(one, StreamEntry):
        return mended
    return audit == str(Sight.MARGINAL) or (
        audit == str(Sight.STREAM) and one.seen_by is Sight.ACCEPTANCE
    )


def tested(config: Config, key: str, mended: bool, test: str) -> dict[str, Any]:
    """One engine's test."""
    one = entry(key).mend() if mended else entry(key)
    options = {}
    if isinstance(one, StreamEntry):
        options = {"size": config.loop_size}
        if test == "flashinfer_cosine":
            options["draws"] = config.loop_draws
    return engine_verdict(test, one.single_step, 0, **options)._asdict()


def run(config: Config, place: Place | None = None) -> Any:
    """Table: entry, seen_by, bias, mended, kind (an audit or a test), seed, caught, draws."""
    import polars

    place = place or Place()
    keys = config.keys or tuple(entries())
    audits = [
        (key, mended, str(audit), seed)
        for key in keys
        for mended in (False, True)
        for audit in audits_of(entry(key))
        for seed in range(1 if is_right(key, mended, str(audit)) else config.runs)
    ]
    tests = [
        (key, mended, test) for key in keys for mended in (False, True) for test in config.tests
    ]
    verdicts = place.fill(
        "zoo_detect", (config, "tests"), tests, lambda *key: tested(config, *key), SOURCES
    )
    found = place.fill(
        "zoo_detect", (config, "audits"), audits, lambda *key: audited(config, *key), SOURCES
    )
    facts = {
        key: {"entry": key, "seen_by": str(entry(key).seen_by), "bias": bias(key)} for key in keys
    }
    rows = [
        facts[key] | {"mended": mended, "kind": audit, "seed": seed} | row
        for (key, mended, audit, seed), row in zip(audits, found, strict=True)
    ]
    rows += [
        facts[key]
        | {"mended": mended, "kind": test, "seed": 0}
        | {"caught": not row["passes"], "draws": row["draws"], "p_bound": None}
        for (key, mended, test), row in zip(tests, verdicts, strict=True)
    ]
    return polars.DataFrame(rows, infer_schema_length=None)


def bias(key: str) -> float | None:
    """Exact bias per draw; None for a loop."""
    one = entry(key)
    return None if isinstance(one, StreamEntry) else one.bias(*one.case())


def render(config: Config, table: Any) -> str:
    """The Markdown tables: entries with their mistake, and mended."""
    lines = [
        "# What finds the zoo out",
        "",
        f"Our audits at alpha = {config.alpha:g}, up to {config.max_draws:,} draws or tokens: "
        f"median over {config.runs} runs of the draws at the first look that sees it (largest in "
        "brackets), or how many runs saw it. Looks are at 1,024 draws and whenever they have grown "
        "by an eighth; for streams every 256 steps. `tokens` audits the law of single steps, "
        "`acceptance` that and how often drafts are accepted (for a loop: tokens a step), `stream` "
        "the law of tokens that follow each other. What is right, mended entries and first tokens "
        f"of loops among it, is audited once, for {config.right_draws:,} draws.",
        "",
        "Engines' tests are our imitations of the published criteria, one run each, at their own "
        f"vocabulary, laws and draws (loops: {config.loop_size} tokens, cosine at "
        f"{config.loop_draws:,} steps). What a mistake needs to show, such as padding or "
        "truncation, those laws may lack. `passes` means that the mistake is let through.",
        "",
        "TV: exact total variation of a draw on the case audited. Entries of loops are right in "
        "each first token, and wrong later. Made by `python -m sims.zoo_detect`.",
        "",
        "| entry | TV | tokens | acceptance | stream | " + " | ".join(config.tests) + " |",
        "|---|--:|--:|--:|--:|" + "---|" * len(config.tests),
    ]
    names = table["entry"].unique(maintain_order=True).to_list()
    lines += [_line(config, table, name, mended=False) for name in names]
    lines += [
        "",
        "The same miniatures with the mistake taken out; every verdict should be `no` or `passes`.",
        "",
        "| entry | TV | tokens | acceptance | stream | " + " | ".join(config.tests) + " |",
        "|---|--:|--:|--:|--:|" + "---|" * len(config.tests),
    ]
    lines += [_line(config, table, name, mended=True) for name in names]
    return "\n".join(lines) + "\n"


def _line(config: Config, table: Any, name: str, mended: bool) -> str:
    rows = [row for row in table.iter_rows(named=True) if row["entry"] == name]
    rows = [row for row in rows if row["mended"] == mended]
    size = "0" if mended and rows[0]["bias"] is not None else _per_cent(rows[0]["bias"])
    cells = [name, size]
    cells += [_draws([row for row in rows if row["kind"] == str(audit)]) for audit in Sight]
    for test in config.tests:
        (row,) = (row for row in rows if row["kind"] == test)
        cells.append("sees it" if row["caught"] else "passes")
    return "| " + " | ".join(cells) + " |"


def _draws(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return ""
    caught = [row["draws"] for row in rows if row["caught"]]
    if not caught:
        return "no"
    if len(caught) < len(rows):
        return f"{len(caught)} of {len(rows)}"
    return f"{median(caught):,.0f} ({max(caught):,})" if len(rows) > 1 else f"{caught[0]:,}"


def _per_cent(size: float | None) -> str:
    return "" if size is None else f"{size:.2%}"


def missed(config: Config, table: Any, visible: float = 0.01) -> Iterable[str]:
    """Entries of so much bias, loops and wrong acceptances that their least audit missed once."""
    for row in table.iter_rows(named=True):
        if row["mended"] or row["kind"] != row["seen_by"] or row["caught"]:
            continue
        if row["seen_by"] != str(Sight.MARGINAL) or row["bias"] >= visible:
            yield f"{row['entry']}, seed {row['seed']}"


def main() -> None:
    """Run, and write the tables."""
    config = Config()
    table = run(config)
    TABLE.parent.mkdir(exist_ok=True)
    table.write_parquet(TABLE.with_suffix(".parquet"))
    TABLE.write_text(render(config, table), encoding="utf-8")
    print(render(config, table), end="")
    for what in missed(config, table):
        print(f"missed: {what}")


if __name__ == "__main__":
    main()
