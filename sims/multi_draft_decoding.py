"""Tokens a target call of several drafts on a real model, and whether rules are ordered as proved.

``python -m sims.multi_draft_decoding`` continues prompts with k sequences of drafts, verified
together, by every rule on the same tapes. Theory orders the first level of drafts: at each context
the optimum accepts at least as often as K-SEQ and recursive rejection, those at least as often as
one draft, and none loses by more drafts. So these acceptances are computed as well, in closed form,
at each position of the texts that rejection with one draft wrote, whose law is the target's. Tokens
a call count the levels below too, where sequences thin out: there the order is measured, by paired
differences over prompts.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sims.runner import SOURCES, Place, main
from spectheory.cost.speedup import starts_along
from spectheory.decoding.sampling import PLAIN
from spectheory.drafting.scheme import scheme
from spectheory.errors import InputError
from spectheory.verification.rule import rule

if TYPE_CHECKING:
    import polars

    from spectheory.decoding.draft_source import DraftSource
    from spectheory.decoding.session import DecodableModel

ONE = ("rejection", 1)
RULES = ("k_seq", "recursive", "optimal_iid")
OPTIMAL = "optimal_iid"

DECODING = ("decoding/*.py", "decoding/models.toml", "decoding/drafters/*/*")
"""Parts of `spectheory` that texts depend on, whatever the draft, besides those of every sweep."""

Verifier = tuple[str, int]
"""Rule and k."""


@dataclass(frozen=True)
class Config:
    """What is decoded.

    Attributes:
        target: model key.
        draft: short name of the draft source.
        prompts: prompt sets.
        limit: prompts of each set.
        longest: tokens of a prompt at most.
        new_tokens: tokens of each continuation.
        levels: drafts of a sequence.
        counts: sequences k, besides one.
        batch: prompts decoded at once, and the texts of a cell.
        resamples: of the bootstrap.
        seed: prompt i continues by the random numbers of seed + i, whatever the rule.
    """

    target: str = "smollm2"
    draft: str = "ngram:4"
    prompts: tuple[str, ...] = ("humaneval", "mtbench")
    limit: int = 32
    longest: int = 64
    new_tokens: int = 32
    levels: int = 3
    counts: tuple[int, ...] = (2, 4)
    batch: int = 16
    resamples: int = 9_999
    seed: int = 0

    def verifiers(self) -> list[Verifier]:
        """One draft, then every rule by k."""
        return [ONE, *((key, k) for k in self.counts for key in RULES)]

    def ordered(self) -> list[tuple[Verifier, Verifier]]:
        """Pairs of which theory says that the second accepts no less at the first level."""
        ks = self.counts
        return [
            *((ONE, (key, ks[0])) for key in RULES),
            *(((key, k), (OPTIMAL, k)) for k in ks for key in RULES if key != OPTIMAL),
            *(((key, a), (key, b)) for key in RULES for a, b in itertools.pairwise(ks)),
        ]


FULL = Config(longest=96, new_tokens=128)


class Setting(NamedTuple):
    """Models and prompts.

    Attributes:
        target, source: model and where its drafts come from.
        prompts: token arrays.
    """

    target: DecodableModel
    source: DraftSource
    prompts: list[np.ndarray]


@lru_cache(maxsize=1)
def setting(config: Config) -> Setting:
    """Read from the cache, or downloaded into it, once a process.

    Raises:
        InputError: a set with fewer prompts than `Config.limit`.
    """
    from spectheory.decoding.drafts import draft_source
    from spectheory.decoding.prompts import prompts
    from spectheory.decoding.registry import load

    texts = [text for name in config.prompts for text in prompts(name, config.limit)]
    if len(texts) < config.limit * len(config.prompts):
        raise InputError(
            f"`limit` is {config.limit}, but {' and '.join(config.prompts)} have {len(texts)} "
            "prompts together; expected a limit that each set can meet"
        )
    target = load(config.target)
    return Setting(
        target,
        draft_source(config.draft, target),
        [target.encode(text)[: config.longest] for text in texts],
    )


def decode(config: Config, key: str, k: int, start: int) -> dict[str, Any]:
    """Continue a batch of prompts, from prompt ``start`` on: texts, and calls of the target."""
    from spectheory.decoding.decoder import Decoder, Request

    target, source, prompts = setting(config)
    decoder = Decoder(
        target,
        source,
        rule=key,
        branching=(k, *(1,) * (config.levels - 1)),
        batch=config.batch,
    )
    here = prompts[start : start + config.batch]
    done = decoder.generate(
        [Request(p, config.new_tokens, config.seed + i) for i, p in enumerate(here, start)]
    )
    return {"tokens": [d.tokens for d in done], "calls": [d.statistics.calls for d in done]}


def along(config: Config, index: int, continuation: list[int]) -> dict[str, Any]:
    """Acceptance of the first level by every verifier at each position of a text."""
    from spectheory.decoding.foresight import laws_along

    target, source, prompts = setting(config)
    text = np.array([*prompts[index], *continuation])
    found: dict[Verifier, list[float]] = {verifier: [] for verifier in config.verifiers()}
    for law, draft, _ in laws_along(
        target, source, text, len(prompts[index]), scheme=scheme("iid"), sampling=PLAIN
    ):
        for (key, k), values in found.items():
            rates = None if draft is None else rule(key).rates(law, draft, k, "iid")
            values.append(0.0 if rates is None else min(1.0, float(rates.acceptance)))
    return {"first": list(found.values())}


def run(config: Config, place: Place | None = None) -> polars.DataFrame:
    """One row a prompt and verifier.

    Columns: prompt, rule, k; tokens emitted and calls of the target; first, list of the exact
    acceptances of the first level along the text of rejection; predicted_calls, how many such a
    text should take, one sequence being left below the first level.
    """
    import polars

    place = place or Place()
    count = config.limit * len(config.prompts)
    verifiers, starts = config.verifiers(), range(0, count, config.batch)
    cells = [(key, k, start) for start in starts for key, k in verifiers]
    decoded = place.fill(
        "multi_draft_decoding",
        config,
        cells,
        lambda *cell: decode(config, *cell),
        (*SOURCES, "batched/*.py", *DECODING),
    )
    by_cell = dict(zip(cells, decoded, strict=True))
    texts = [text for start in starts for text in by_cell[(*ONE, start)]["tokens"]]
    logged = place.fill(
        "multi_draft_decoding",
        (config, "along", texts),
        [(index,) for index in range(count)],
        lambda index: along(config, index, texts[index]),
        (*SOURCES, *DECODING),
    )
    rows = []
    for index in range(count):
        start = index - index % config.batch
        later = np.array(logged[index]["first"][verifiers.index(ONE)])
        for (key, k), first in zip(verifiers, logged[index]["first"], strict=True):
            cell = by_cell[key, k, start]
            rows.append(
                {
                    "prompt": index,
                    "rule": key,
                    "k": k,
                    "tokens": len(cell["tokens"][index - start]),
                    "calls": cell["calls"][index - start],
                    "first": first,
                    "predicted_calls": predicted_calls(np.array(first), later, config.levels),
                }
            )
    return polars.DataFrame(rows)


def predicted_calls(first: np.ndarray, later: np.ndarray, levels: int) -> float:
    """Expected calls for a text with these acceptances at its positions."""
    return float(starts_along(first, later, np.full(len(first), levels)).sum())


class Interval(NamedTuple):
    """A number with its 95 % interval, prompts being resampled."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4f} ({self.low:.4f} to {self.high:.4f})"


def interval(config: Config, statistic: Any, *columns: np.ndarray) -> Interval:
    """Percentile bootstrap of a statistic of columns with one row a prompt."""
    from scipy.stats import bootstrap

    found = bootstrap(
        columns,
        statistic,
        n_resamples=config.resamples,
        batch=1_000,
        paired=True,
        vectorized=True,
        method="percentile",
        rng=np.random.default_rng(config.seed),
    ).confidence_interval
    return Interval(float(statistic(*columns, axis=-1)), float(found.low), float(found.high))


def per_call(tokens: np.ndarray, calls: np.ndarray, axis: int) -> Any:
    """Tokens of all prompts over their calls."""
    return tokens.sum(axis=axis) / calls.sum(axis=axis)


def per_call_gained(
    tokens: np.ndarray, calls: np.ndarray, more: np.ndarray, fewer: np.ndarray, axis: int
) -> Any:
    """`per_call` of the second verifier, less that of the first."""
    return per_call(more, fewer, axis) - per_call(tokens, calls, axis)


class Order(NamedTuple):
    """Two verifiers compared.

    Attributes:
        lower, higher: the verifiers.
        tokens: tokens a call that the higher gains.
        first: mean acceptance of the first level that it gains, exact at each position.
        worst: the least that it gains at any position.
    """

    lower: Verifier
    higher: Verifier
    tokens: Interval
    first: Interval
    worst: float

    @property
    def verdict(self) -> str:
        """Whether the tokens a call are in the order of the first level, within the interval."""
        if self.tokens.high < 0:
            return "contradicted"
        return "as theory says" if self.tokens.low > 0 else "not separated"


def orders(
    config: Config, table: polars.DataFrame, pairs: list[tuple[Verifier, Verifier]]
) -> list[Order]:
    """Paired differences over prompts."""
    columns = {
        (key, k): (part["tokens"].to_numpy(), part["calls"].to_numpy(), part["first"].to_list())
        for (key, k), part in table.sort("prompt").group_by("rule", "k", maintain_order=True)
    }
    found = []
    for lower, higher in pairs:
        (tokens, calls, less), (more, fewer, first) = columns[lower], columns[higher]
        gained = [np.subtract(a, b) for a, b in zip(first, less, strict=True)]
        found.append(
            Order(
                lower,
                higher,
                interval(config, per_call_gained, tokens, calls, more, fewer),
                interval(config, np.mean, np.array([g.mean() for g in gained])),
                float(min(g.min() for g in gained)),
            )
        )
    return found


def render(config: Config, table: polars.DataFrame) -> str:
    """Tokens a call by rule and k, and the differences that theory orders."""
    import polars

    claimed = orders(config, table, config.ordered())
    free = [((RULES[0], k), (RULES[1], k)) for k in config.counts]
    positions = int(table["first"].list.len().sum()) // len(config.verifiers())
    verdicts = [order.verdict for order in claimed]
    contradicted = verdicts.count("contradicted")
    lines = [
        "# Tokens a target call with several drafts, on a real model",
        "",
        f"{config.target} with drafts of `{config.draft}`, temperature 1: "
        f"{table['prompt'].n_unique()} prompts of {' and '.join(config.prompts)} (their first "
        f"{config.longest} tokens), {config.new_tokens} new tokens each, k sequences of "
        f"{config.levels} i.i.d. drafts, seed {config.seed}. 95 % intervals by resampling prompts; "
        "all verifiers read one tape a prompt. `first level`: P(output is one of the k drafts), "
        f"in closed form at each of {positions:,} positions of the texts that rejection wrote; "
        "`predicted`: tokens a call from it, one sequence being left below the first level. Made "
        "by `python -m sims.multi_draft_decoding`.",
        "",
        "| rule | k | tokens a call | predicted | first level |",
        "|---|--:|--:|--:|--:|",
    ]
    for key, k in config.verifiers():
        part = table.filter((polars.col("rule") == key) & (polars.col("k") == k)).sort("prompt")
        first = interval(config, np.mean, part["first"].list.mean().to_numpy())
        predicted = interval(
            config, per_call, part["tokens"].to_numpy(), part["predicted_calls"].to_numpy()
        )
        tokens = interval(config, per_call, part["tokens"].to_numpy(), part["calls"].to_numpy())
        lines.append(f"| `{key}` | {k} | {tokens} | {predicted} | {first} |")
    lines += [
        "",
        "## In the order that theory gives",
        "",
        f"Of {len(claimed)} differences in tokens a call, {verdicts.count('as theory says')} are "
        f"above 0 with their whole interval, {verdicts.count('not separated')} contain 0, "
        f"{contradicted} are below it: "
        + ("ordered as theory says, within intervals." if not contradicted else "not as ordered.")
        + " At the first level, where the order is a theorem, the least gain at any position is "
        f"{min(order.worst for order in claimed):.1e}.",
        "",
        "| from | to | gained tokens a call | verdict | gained at the first level |",
        "|---|---|--:|---|--:|",
        *(_line(order, order.verdict) for order in claimed),
        "",
        "Theory does not order K-SEQ and recursive rejection:",
        "",
        "| from | to | gained tokens a call | gained at the first level |",
        "|---|---|--:|--:|",
        *(_line(order) for order in orders(config, table, free)),
    ]
    return "\n".join(lines) + "\n"


def _line(order: Order, *verdict: str) -> str:
    (low, j), (high, k) = order.lower, order.higher
    columns = (f"`{low}`, k = {j}", f"`{high}`, k = {k}", order.tokens, *verdict, order.first)
    return "| " + " | ".join(map(str, columns)) + " |"


def command(arguments: list[str] | None = None) -> None:
    """`runner.main`, with another draft if wanted."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--draft", default=Config.draft, metavar="D")
    options, rest = parser.parse_known_args(arguments)
    quick, full = (replace(config, draft=options.draft) for config in (Config(), FULL))
    main("multi_draft_decoding", __doc__ or "", quick, full, run, render, rest)


if __name__ == "__main__":
    command(sys.argv[1:])
