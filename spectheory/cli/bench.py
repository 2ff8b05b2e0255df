"""Time decoding end to end: speculative configurations beside plain and transformers' own."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spectheory.cli.arguments import add_json, count, seed, temperature
from spectheory.cli.bench_cells import PLAIN, Choice, Peer
from spectheory.cli.bench_processes import check_cores
from spectheory.cli.generate import add_executor, add_models, load_target, verifier
from spectheory.cli.output import note, print_json, print_table
from spectheory.errors import InputError, SchemeMismatch

if TYPE_CHECKING:
    from spectheory.decoding.draft_source import DraftSource
    from spectheory.decoding.transformer import TransformerModel

RULES = (
    *("rejection", "block", "k_seq:4", "recursive:4"),
    *("optimal_iid:2", "optimal_iid:4", "greedy_optimal:3"),
)
"""Default rules; a number after the colon is k."""

USUAL = {"limit": 32, "apart": 2, "new_tokens": 128, "repeats": 7}
QUICK = {"limit": 2, "apart": 1, "new_tokens": 24, "repeats": 3}
"""What is not given, without and with ``--quick``."""
QUICK_RULES = ("rejection", "optimal_iid:4")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare ``bench decode``."""
    benches = parser.add_subparsers(dest="bench", required=True, metavar="WHAT")
    decode = benches.add_parser("decode", help="time decoding", description=__doc__)
    add_models(decode)
    decode.add_argument("--out", type=Path, default=Path("out/bench"), help="default %(default)s")
    decode.add_argument(
        "--drafts",
        metavar="D,D",
        help="as in spectheory generate --draft (default: the drafter that comes with the package "
        "if there is one for the target, alone and behind lookup; lookup; ngram:4 unless --quick)",
    )
    decode.add_argument(
        "--rules",
        metavar="R,R",
        help=f"rule keys and block, with :k for k sequences (default {','.join(RULES)}; rules "
        "with k > 1 are run with drafts that are sampled), as far as the executor has them",
    )
    add_executor(decode)
    decode.add_argument(
        "--temperatures", type=_temperatures, default=(0.0, 1.0), metavar="T,T", help="0,1"
    )
    decode.add_argument("--prompts", default="humaneval,mtbench", metavar="SETS")
    decode.add_argument(
        "--limit",
        type=count,
        metavar="N",
        help="prompts a set (32); a run with a larger limit goes on where a smaller one ended",
    )
    decode.add_argument("--apart", type=count, metavar="N", help="more of a set, to plan on (2)")
    decode.add_argument(
        "--chat",
        action="store_true",
        help="put prompts into the target's chat template, within --longest tokens",
    )
    decode.add_argument("--longest", type=count, default=96, metavar="N", help="of a prompt (96)")
    decode.add_argument("--new-tokens", type=count, metavar="N", help="default 128")
    decode.add_argument("--repeats", type=count, metavar="N", help="timings behind a latency (7)")
    decode.add_argument(
        "--peers",
        metavar="M,M",
        help="modes of transformers to compare with: plain, lookup, assisted (by the first draft "
        "that is a model), assisted:L (by the first L layers), static (static cache, compiled; "
        "takes minutes), or nothing; default: plain, lookup, and assisted as far as the drafts are "
        "models",
    )
    decode.add_argument("--seed", type=seed, default=0, help="default 0")
    decode.add_argument(
        "--processes",
        type=count,
        default=1,
        metavar="N",
        help="run cells side by side on N cores of a CPU, which share the weights, and the way to "
        "them: all is timed as slow as that makes it (Linux; default 1)",
    )
    decode.add_argument(
        "--quick",
        action="store_true",
        help="a few short texts and rules, under four minutes on two cores: where not given, "
        + ", ".join(f"--{name.replace('_', '-')} {value}" for name, value in QUICK.items()),
    )
    add_json(decode)


def run(options: argparse.Namespace) -> None:
    """Measure latencies, plan, time all cells interleaved, report; finished work is kept."""
    for name, value in (QUICK if options.quick else USUAL).items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    choices = list(dict.fromkeys(_choices(options)))
    if options.new_tokens < 8:
        raise InputError(f"`--new-tokens` is {options.new_tokens}; expected at least 8")
    check_cores(options.processes)
    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise InputError(f"`--out` is {options.out}, which is a file") from error
    with redirect_stdout(sys.stderr):
        document, entries = _measure(options, choices)
    if options.json:
        print_json(document)
        return
    from spectheory.cli.bench_report import CAPTION, COLUMNS, rows

    print_table(
        document["title"],
        COLUMNS,
        rows(entries),
        numeric=COLUMNS[3:],
        caption=CAPTION,
    )
    for entry in entries:
        if "greedy" in entry:
            note(f"{entry['name']} at temperature 0: {entry['greedy']}")
    note(f"figure and numbers in {options.out}")


def _measure(
    options: argparse.Namespace, choices: list[Choice]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Run the benchmark; returns its document and the document's configurations."""
    import torch

    from spectheory.cli.bench_report import draw, greedy_agreement, page, summarise
    from spectheory.cli.bench_run import BenchRun
    from spectheory.cli.bench_texts import by_text, share_behind_end
    from spectheory.decoding.drafts import draft_source
    from spectheory.decoding.storage import written_whole

    target = load_target(options)
    sources = {
        name: draft_source(name, target, allow_unofficial=options.allow_unofficial)
        for name in dict.fromkeys(choice.draft for choice in choices)
    }
    configurations: list[Choice | Peer] = [*choices, *_peers(options, target, sources)]
    bench = BenchRun.of(options, target, sources)
    latency, plain_step, plans = bench.planned(choices)
    cells = bench.cells(configurations, plans)
    entries = summarise(cells, plans, plain_step)
    plain = {choice.temperature: cells[choice] for choice in choices if choice.name == PLAIN}
    sets = [text.name.rpartition(" ")[0] for text in bench.prompts]
    for config, entry in ((c, e) for e in entries for c in configurations if _is(c, e)):
        beside = plain[config.temperature]
        entry["by_text"] = by_text(sets, cells[config], beside, target.end_tokens)
        if config.name == PLAIN:
            entry["behind_end_token"] = share_behind_end(beside, target.end_tokens)
        if config.temperature == 0 and config.name != PLAIN:
            entry["greedy"] = greedy_agreement(
                target,
                [text.tokens for text in bench.prompts],
                beside,
                cells[config],
                torch.finfo(target.module.dtype).eps,
            )
    title = (
        f"{target.name} on {target.module.device}, {len(bench.prompts)} prompts, "
        f"{options.new_tokens} new tokens"
    )
    document = {
        "title": title,
        "settings": {**bench.settings, "prompts": options.prompts, "limit": options.limit},
        "versions": bench.versions,
        "latency": {**asdict(latency), "seconds": latency.seconds.tolist()},
        "configurations": entries,
    }
    with written_whole(options.out / "bench.pdf") as file:
        draw(entries, title, file)
    with written_whole(options.out / "bench.json") as file:
        file.write_text(json.dumps(document, indent=1, allow_nan=False), encoding="utf-8")
    with written_whole(options.out / "bench.md") as file:
        file.write_text(page(document), encoding="utf-8")
    return document, entries


def _is(config: Choice | Peer, entry: dict[str, Any]) -> bool:
    return (config.name, config.temperature) == (entry["name"], entry["temperature"])


def _choices(options: argparse.Namespace) -> Iterator[Choice]:
    """Plain decoding, then each draft with each rule that suits it, at each temperature.

    Raises:
        InputError, UnknownName: a rule that is none, that the executor does not run, or not for so
            many drafts; no draft as a draft.
    """
    names = _names(options.drafts or _usual_drafts(options))
    if "none" in names:
        raise InputError("`--drafts` holds 'none'; plain decoding is always timed")
    rules = _usual_rules(options) if options.rules is None else _names(options.rules)
    counts = [_rule(name, options.executor) for name in rules]
    for at in options.temperatures:
        yield Choice("none", "rejection", 1, at, options.executor)
        for draft in names:
            for key, k in counts:
                # Copies are certain: k of them are one, and all rules for one draft agree on it.
                if draft in ("lookup", "copy") and (k > 1 or key == "block"):
                    continue
                # Behind copies one token is drafted, for which block verification is rejection.
                behind = draft.removeprefix("lookup+")
                if behind != draft and not behind[:1].isdecimal() and key == "block":
                    continue
                yield Choice(draft, key, k, at, options.executor)


def _rule(name: str, executor: str) -> tuple[str, int]:
    """Key and k of a rule as it is spelt in ``--rules``, once it is certain that it can be run."""
    from spectheory.cli.bench_run import MOST_TOKENS
    from spectheory.decoding.executors import verifier_for
    from spectheory.drafting.scheme import scheme
    from spectheory.verification.rule import rule

    key, _, number = name.partition(":")
    if number and not (number.isdecimal() and int(number)):
        raise InputError(f"`--rules` holds {name!r}; expected a rule or rule:k")
    k = int(number or 1)
    if k >= MOST_TOKENS:
        raise InputError(
            f"`--rules` holds {name!r}; k is at most {MOST_TOKENS - 1}, since passes over at most "
            f"{MOST_TOKENS} tokens are timed"
        )
    drawn = scheme(Choice("none", key, k, 0.0).scheme)
    try:
        verifier_for(verifier(key), None, executor).check(drawn, (k, 1))
    except SchemeMismatch as error:
        raise InputError(f"`--rules` holds {name!r}: {error}") from error
    law = np.full(k + 1, 1 / (k + 1))
    if key != "block" and rule(key).rates(law, law, k, drawn.key) is None:
        raise InputError(
            f"`--rules` holds {name!r}, for which no closed form of the acceptance is known; "
            "lengths are planned by it"
        )
    return key, k


def _usual_rules(options: argparse.Namespace) -> list[str]:
    """The default rules that the executor has."""
    from spectheory.decoding.executors import verifier_for

    def has(key: str) -> bool:
        try:
            verifier_for(verifier(key), None, options.executor)
        except InputError:
            return False
        return True

    rules = QUICK_RULES if options.quick else RULES
    return [rule for rule in rules if has(rule.partition(":")[0])]


def _usual_drafts(options: argparse.Namespace) -> str:
    from spectheory.decoding.drafts import shipped_drafters

    shipped = "distil,lookup+distil," if options.target in shipped_drafters() else ""
    return f"{shipped}lookup" + ("" if options.quick else ",ngram:4")


def _peers(
    options: argparse.Namespace, target: TransformerModel, sources: dict[str, DraftSource]
) -> list[Peer]:
    """Modes of transformers.

    Raises:
        InputError: a mode that it does not have, or that there is no assistant for.
    """
    from spectheory.cli.bench_run import assistant

    exits = [name.partition(":")[2] for name in sources if name.startswith("exit:")]
    models = any(
        assistant(source) is not None
        for name, source in sources.items()
        if not name.startswith("exit:")
    )
    usual = ["plain", "lookup", *(f"assisted:{layer}" for layer in exits), *["assisted"] * models]
    modes = usual if options.peers is None else _names(options.peers)
    for mode in modes:
        kind, _, layer = mode.partition(":")
        if kind == "assisted" and layer.isdecimal():
            target.early_exit(int(layer))  # refuses layers that it does not have
        elif mode not in ("plain", "lookup", "assisted", "static"):
            raise InputError(
                f"`--peers` holds {mode!r}; expected plain, lookup, assisted, assisted:L or static"
            )
        elif mode == "assisted" and not models:
            raise InputError("`--peers` holds 'assisted', but none of `--drafts` is a model")
    return [Peer(mode, at) for at in options.temperatures for mode in dict.fromkeys(modes)]


def _names(text: str) -> list[str]:
    """Names by comma."""
    return [name for part in text.split(",") if (name := part.strip())]


def _temperatures(text: str) -> tuple[float, ...]:
    return tuple(dict.fromkeys(temperature(part) for part in text.split(",")))
