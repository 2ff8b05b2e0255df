"""Whether the texts that `spectheory bench decode` timed at temperature 1 follow the target's law.

``python -m sims.bench_streams out/bench/cells.jsonl`` reads the texts of a run, teacher-forces the
target over them through transformers alone, without our kernels, and audits each configuration's
tokens as one stream. Two controls read plain decoding's texts as if the target had been sampled at
another temperature; the audit must catch them. The table goes to sims/tables/bench_streams.md.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from spectheory.audit.stream import StreamAudit
from spectheory.audit.stream_report import StreamReport
from spectheory.audit.stream_steps import Steps
from spectheory.cli.bench_run import Prompt, prompt_within
from spectheory.cli.journal import Journal
from spectheory.decoding.progress import progress
from spectheory.decoding.prompts import nested, prompts
from spectheory.decoding.registry import load
from spectheory.decoding.sampling import Sampling
from spectheory.errors import InputError

TABLE = Path(__file__).parent / "tables" / "bench_streams.md"
ALPHA = 1e-4
"""False-alarm rate of each audit."""

CONTROLS = (0.9, 0.95)
"""Temperatures that plain decoding's texts were not sampled at."""


class Text(NamedTuple):
    """What a configuration emitted behind a prompt.

    Attributes:
        configuration: draft, rule and tree.
        prompt: see `Prompt.key`.
        tokens: those emitted.
    """

    configuration: str
    prompt: list[str]
    tokens: list[int]


def texts(journal: Path) -> tuple[dict[str, Any], list[Text]]:
    """Settings of the last run in a journal, and what our decoder sampled in it at temperature 1.

    Earlier runs have texts of the same seeds: what is read twice is no evidence twice.

    Raises:
        InputError: a journal without texts.
    """
    entries = [(json.loads(key), value) for key, value in Journal(journal).items()]
    cells = [(key, value) for key, value in entries if key[0] == "cell"]
    if not cells:
        raise InputError(f"{journal} holds no texts of `spectheory bench decode`")
    run, found = cells[-1][0][1:3], []
    for (_, settings, versions, *what), value in cells:
        (draft, rule, _, temperature, _), _, tree, prompt = what
        if temperature == 1 and [settings, versions] == run:
            name = f"{draft} {rule} {'-'.join(map(str, tree))}" if tree else "plain"
            found.append(Text(name, prompt, value["tokens"]))
    return run[0], found


def audit(settings: dict[str, Any], found: Sequence[Text]) -> dict[str, StreamReport]:
    """A report for each configuration, and for each control.

    Raises:
        InputError: the prompts of the run are not those that the model's tokenizer makes now.
    """
    target = load(settings["target"])
    audits: dict[str, StreamAudit] = defaultdict(lambda: StreamAudit(ALPHA))
    with progress("texts", len(found)) as show:
        for done, text in enumerate(found, 1):
            name = text.prompt[0]
            kind, rank = name.rsplit(" ", 1)
            every = prompts(kind)
            whole = every[nested(len(every))[int(rank)]]
            prompt = prompt_within(whole, target, settings["longest"], settings["chat"])
            if Prompt(name, 0, prompt).key != text.prompt:
                raise InputError(f"prompt {name} of the journal is not the one that there is now")
            read = np.array([*prompt, *text.tokens[:-1]])
            logits = target.logits(read)[len(prompt) - 1 :]
            for name, temperature in _readings(text.configuration):
                laws = Sampling(temperature).of_logits(logits)
                audits[name].update(_each_alone(done, text.tokens, laws))
            show(done)
    return {name: audits[name].report() for name in sorted(audits)}


def _readings(configuration: str) -> Iterator[tuple[str, float]]:
    yield configuration, 1.0
    if configuration == "plain":
        for temperature in CONTROLS:
            yield f"plain, read as of temperature {temperature:g}", temperature


def _each_alone(request: int, tokens: Sequence[int], laws: np.ndarray) -> Steps:
    """Tokens as steps without drafts: how many a step emitted is not asked here."""
    count = len(tokens)
    one = np.ones(count, dtype=np.int64)
    return Steps(request * one, np.array(tokens)[:, None], one, 0 * one, laws[:, None])


def table(settings: dict[str, Any], reports: dict[str, StreamReport]) -> str:
    """The reports as Markdown."""
    lines = [
        "# Do the benchmark's sampled texts follow the target's law?",
        "",
        f"`python -m sims.bench_streams`: texts of {settings['target']} at temperature 1 from "
        "`spectheory bench decode`, audited as streams against the laws that transformers gives "
        f"when it reads them in one pass. Each audit raises a false alarm with a rate of at most "
        f"{ALPHA:g}, however long it goes on. The bound is on the p-value; the last column says "
        "what the tokens leave possible at the same rate: the most, over all strata, by which the "
        "probability of an event may still be off in the mean.",
        "",
        "| texts of | tokens | p at most | biased | probability that may be off most |",
        "|---|--:|--:|---|---|",
    ]
    for name, report in reports.items():
        events = [bound for bound in report.bounds if bound.unit == "probability"]
        worst = max(events, key=lambda bound: bound.upper)
        lines.append(
            f"| {name} | {report.tokens:,} | {report.p_bound:.2g} | "
            f"{'**yes**' if report.biased else 'no'} | {worst.upper:.3f} ({worst.meaning}) |"
        )
    return "\n".join(lines) + "\n"


def main() -> int:
    """Audit a run; fails if a stream is biased, or a control is not seen to be."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("journal", type=Path)
    settings, found = texts(parser.parse_args().journal)
    reports = audit(settings, found)
    TABLE.write_text(table(settings, reports), encoding="utf-8")
    wrong = [name for name, report in reports.items() if report.biased != ("read as" in name)]
    print("\n".join(f"{name}: not as expected" for name in wrong), file=sys.stderr)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
