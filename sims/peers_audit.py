"""The audit of public engines that run on a CPU: does each emit the target's law, as it says?

``python -m sims.peers_audit [ENGINE..]`` audits every adapted engine that is installed, or those
named, and writes sims/tables/peers_audit.md and .parquet; an interrupted run goes on where it was.
Each engine is audited on single draws with the acceptance law (one draft), on whole blocks (four
drafts, or a tree) and as a stream over order-1 table models. Engines without batches get fewer
draws, and those that generate whole texts fewer still.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sims.runner import AUDIT, Place
from spectheory.adapters.chain import ChainEngine
from spectheory.adapters.engine import Engine, engine, engines
from spectheory.adapters.transformers_generate import TransformersGenerate
from spectheory.audit.run import Job, audit_sampler
from spectheory.audit.stream import StreamAudit
from spectheory.decoding.registry import load
from spectheory.decoding.tabular import TabularModel
from spectheory.distributions import temper
from spectheory.errors import MissingDependency

PROMPTS = (
    "The lighthouse stood on the edge of the world, and every night its keeper",
    "A recipe for bread needs only four things:",
    "def fibonacci(n):",
    "In the spring of 1871 the railway reached the town, and",
)

EXIT = 26
"""Layers of the drafter, of the model's 30."""

TABLE = Path(__file__).parent / "tables" / "peers_audit.md"

SOURCES = (
    *(*AUDIT, "adapters/*.py"),
    *(f"decoding/{part}.py" for part in ("early_exit", "registry", "session", "tabular")),
    *("decoding/models.toml", "decoding/transformer*.py"),
)
"""Parts of `spectheory` that verdicts depend on."""

BATCHED = ("flashspec", "flashspec-onehot", "flashspec-typical", "economize", "economize-typical")
"""Engines that verify a batch in one call, so that they can be asked for many draws."""

LONGEST = "economize-tree-iid"
"""The engine that a smaller run left nearest to doubt."""

HARD = "blocks, 3 tokens"
"""Way with one pair of laws on which wrongly declared siblings of a tree move 5 % and more; on the
larger ones it is 0.2 %, which no audit sees in so few draws."""

HARD_PAIR = np.array([[0.25, 0.35, 0.4, 0.0]]), np.array([[0.65, 0.15, 0.1, 0.1]])

REAL = "texts of SmolLM2"
"""Way of the audit of assisted generation on a real model, drafted by its own first layers."""

TEXTS = ("transformers-generate",)
"""Prefixes of those that generate whole texts, at tens of tokens a second."""


@dataclass(frozen=True)
class Config:
    """What to run.

    Attributes:
        alpha: declared false-alarm rate of each audit.
        size: V.
        positions: pairs of laws, which take turns.
        many: draws of a batched engine.
        few: of one that takes a request at a time.
        texts: tokens of one that generates texts.
        tree: tokens of independent draft trees, of which a round emits about 2.5.
        drafts: of a block.
        seed: of laws and draws.
    """

    alpha: float = 1e-6
    size: int = 24
    positions: int = 8
    many: int = 200_000
    few: int = 20_000
    texts: int = 512
    tree: int = 2_500_000
    drafts: int = 4
    seed: int = 0

    def draws(self, key: str, way: str) -> int:
        """Draws for an engine."""
        if (key, way) == (LONGEST, "blocks"):
            return self.tree
        if key.startswith(TEXTS):
            return self.texts
        return self.many if key in BATCHED else self.few


def laws(config: Config, one: Engine) -> tuple[np.ndarray, np.ndarray]:
    """``(rows, V)`` targets and drafts; a twelfth of the target's tokens has probability 0."""
    rng = np.random.default_rng(config.seed)
    target, noise = rng.dirichlet(np.full(config.size, 0.6), (2, config.size))
    target[rng.random(target.shape) < 1 / 12] = 0.0
    target /= target.sum(axis=1, keepdims=True)
    draft = 0.5 * target + 0.5 * noise
    return (temper(target, 0.0) if one.claim == "greedy-lossless" else target), draft


def audit_one(config: Config, key: str, way: str) -> dict[str, Any]:
    """One audit: a row of the table."""
    one = engine(key)
    if isinstance(one, ChainEngine):
        one = replace(one, drafts=1 if way == "one draft" else config.drafts)
    ways = {"stream": _stream, REAL: _real_texts}
    found = ways[way](config, one) if way in ways else _draws(config, one, way)
    return {
        "engine": one.distribution,
        "version": one.version(),
        "adapter": key,
        "function": one.calls,
        "claim": one.claim,
        "way": way,
    } | found


def _draws(config: Config, one: Engine, way: str) -> dict[str, Any]:
    pair = HARD_PAIR if way == HARD else laws(config, one)
    target, draft = (law[: config.positions] for law in pair)
    if way == "one draft":
        draft = one.proposal(draft)
    job = Job(target, draft, config.alpha, config.draws(one.key, way), config.seed)
    report = audit_sampler(one, job)
    bounds = {bound.direction: bound.upper for bound in report.bounds}
    return {
        "draws": report.draws,
        "impossible": report.impossible,
        "log_e": report.log_e_peak,
        "p_bound": report.p_bound,
        "biased": report.biased,
        "towards_draft": bounds.get("draft_ratio"),
        "single_token": bounds.get("single_token"),
        "acceptance": bounds.get("acceptance"),
    }


def _stream(config: Config, one: Engine) -> dict[str, Any]:
    target, draft = laws(config, one)
    models = TabularModel([target[0], target]), TabularModel([draft[0], draft])
    audit, tokens = StreamAudit(config.alpha, one.depth), config.draws(one.key, "stream")
    requests = tokens // one.length if isinstance(one, TransformersGenerate) else tokens // 64
    for steps in one.decode(*models, requests=requests, steps=32, seed=config.seed):
        audit.update(steps)
        report = audit.report()
        if report.biased or report.tokens >= tokens:
            break
    return _stream_row(audit)


def _real_texts(config: Config, one: Engine) -> dict[str, Any]:
    assert isinstance(one, TransformersGenerate)
    model, audit = load("smollm2"), StreamAudit(config.alpha)
    for seed, prompt in enumerate(PROMPTS):
        audit.update(one.real_text(model, EXIT, model.encode(prompt), config.seed + seed))
    return _stream_row(audit)


def _stream_row(audit: StreamAudit) -> dict[str, Any]:
    report = audit.report()
    return {
        "draws": report.tokens,
        "impossible": report.impossible,
        "log_e": report.log_e_peak,
        "p_bound": report.p_bound,
        "biased": report.biased,
        "towards_draft": None,
        "single_token": None,
        "acceptance": None,
        "length_p_bound": report.length_p_bound,
    }


def keys(only: list[str]) -> list[tuple[str, str, str]]:
    """Engine, way and installed version of each audit, for those that are installed."""
    found = []
    for key, one in engines().items():
        if only and key not in only:
            continue
        try:
            version = one.version()
        except MissingDependency as missing:
            print(missing, file=sys.stderr)
            continue
        ways = ["one draft"] if isinstance(one, ChainEngine) else []
        ways += ["blocks", "stream"]
        ways += [HARD] if key.startswith("economize-tree") else []
        ways += [REAL] if key == "transformers-generate" else []
        found += [(key, way, version) for way in ways]
    return found


def run(config: Config, only: list[str] | None = None, place: Place | None = None) -> Any:
    """Table with a row for each audit; see `audit_one`."""
    import polars

    rows = (place or Place()).fill(
        "peers_audit",
        config,
        keys(only or []),
        lambda key, way, version: audit_one(config, key, way),
        SOURCES,
    )
    return polars.DataFrame(rows, infer_schema_length=None)


def render(config: Config, table: Any) -> str:
    """The Markdown table."""
    lines = [
        f"# Public engines under audit at alpha = {config.alpha:g}",
        "",
        f"V = {config.size}, {config.positions} pairs of laws that take turns; a stream runs over "
        "order-1 table models. An audit stops where bias is found. Engines that implement one rule "
        "are given the same seeds, so their figures can be equal. The bounds are on what a pass "
        "could have missed: total variation towards the draft or away from it, and the probability "
        "of any single token, signed and averaged over positions; they fail with probability "
        f"{config.alpha:g} at most. Made by `python -m sims.peers_audit`.",
        "",
        "| engine | function | claim | audited | draws | p-value at most | verdict | towards draft "
        "| single token |",
        "|---|---|---|---|--:|--:|---|--:|--:|",
    ]
    for row in table.iter_rows(named=True):
        verdict = "biased" if row["biased"] else "no evidence of bias"
        if row["impossible"]:
            verdict += f" ({row['impossible']} tokens of probability 0)"
        kind = row["adapter"].removeprefix(row["engine"].partition("-sd")[0]).strip("-")
        told = not row["biased"]
        name = f"{row['engine']} {row['version']}" + (f", {kind}" if kind else "")
        bounds = [f"{row[b]:.2%}" if told and row[b] is not None else "" for b in _BOUNDS]
        lines.append(
            f"| {name} | `{row['function']}` | {row['claim']} | "
            f"{row['way']} | {row['draws']:,} | {row['p_bound']:.1g} | {verdict} | "
            f"{' | '.join(bounds)} |"
        )
    return "\n".join(lines) + "\n"


_BOUNDS = ("towards_draft", "single_token")


def main() -> None:
    """Run, and write the table."""
    config, only = Config(), sys.argv[1:]
    table = run(config, only)
    print(render(config, table), end="")
    if not only:
        TABLE.parent.mkdir(exist_ok=True)
        table.write_parquet(TABLE.with_suffix(".parquet"))
        TABLE.write_text(render(config, table), encoding="utf-8")


if __name__ == "__main__":
    main()
