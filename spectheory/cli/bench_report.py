"""What the cells of `spectheory bench decode` say: ratios with intervals, and where time went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spectheory.cli.bench_cells import PLAIN, THEIR_PLAIN, Cell, Choice
from spectheory.cli.bench_plan import GOALS
from spectheory.cost.speedup import PHASES, StepCost, split_gap

if TYPE_CHECKING:
    from pathlib import Path

    from spectheory.decoding.transformer import TransformerModel

RESAMPLES = 9999
NEAR_TIE = 1e-3
"""Gap of two float32 logits below which a wider pass may round them into the other order."""

UNITS = 2
"""Units in the last place for which the same is said of narrower types, if that is more."""


class Interval(NamedTuple):
    """A median of paired ratios and its 95 % percentile-bootstrap interval over prompts."""

    median: float
    low: float
    high: float


def paired_ratio(over: Sequence[Cell], under: Sequence[Cell]) -> Interval:
    """Seconds a token of ``under`` over those of ``over``, prompt by prompt.

    >>> cells = [Cell(1.0, [0]), Cell(3.0, [0]), Cell(2.0, [0])]
    >>> slow = [Cell(2 * cell.seconds, cell.tokens) for cell in cells]
    >>> paired_ratio(cells, slow)
    Interval(median=2.0, low=2.0, high=2.0)
    """
    ratios = np.array(
        [
            (b.seconds / len(b.tokens)) / (a.seconds / len(a.tokens))
            for a, b in zip(over, under, strict=True)
        ]
    )
    draws = np.random.default_rng(0).integers(0, len(ratios), (RESAMPLES, len(ratios)))
    low, high = np.quantile(np.median(ratios[draws], axis=1), [0.025, 0.975])
    return Interval(float(np.median(ratios)), float(low), float(high))


def summarise(
    cells: Mapping[Any, Sequence[Cell]],
    plans: Mapping[Choice, dict[str, Any]],
    plain_step: StepCost,
) -> list[dict[str, Any]]:
    """One entry a configuration; ratios are to plain decoding and to two baselines.

    These are the strongest one, and transformers' own plain mode where it was timed.

    Args:
        cells: by configuration, one a prompt, prompts in one order.
        plans: what was expected, for those that draft.
        plain_step: expected cost of a plain step.
    """
    entries = []
    for temperature in sorted({config.temperature for config in cells}):
        here = {c: found for c, found in cells.items() if c.temperature == temperature}
        plain = next(found for c, found in here.items() if c.name == PLAIN)
        baselines = [c for c in here if c.baseline]
        strongest = max(baselines, key=lambda c: paired_ratio(here[c], plain).median)
        theirs = next((found for c, found in here.items() if c.name == THEIR_PLAIN), None)
        for config, found in here.items():
            entry: dict[str, Any] = {
                "name": config.name,
                "temperature": temperature,
                "baseline": config.baseline,
                "prompts": len(found),
                "tokens_per_second": _rate(found),
                "ratio": paired_ratio(found, plain)._asdict(),
                "strongest_baseline": strongest.name,
                "ratio_to_strongest": paired_ratio(found, here[strongest])._asdict(),
            }
            if theirs is not None:
                entry["ratio_to_transformers"] = paired_ratio(found, theirs)._asdict()
            calls = sum(cell.calls for cell in found)
            if calls:
                emitted = sum(len(cell.tokens) for cell in found)
                entry |= {
                    "tokens_per_call": emitted / calls,
                    "accepted_lengths": _column_sums([cell.lengths for cell in found]),
                    "conditional_acceptance": _conditional(found),
                    "step_seconds": _phases(found),
                }
            if config in plans:
                entry |= _against(plans[config], plain_step, found, plain)
            entries.append(entry)
    return entries


def greedy_agreement(
    target: TransformerModel,
    prompts: Sequence[np.ndarray],
    plain: Sequence[Cell],
    found: list[Cell],
    precision: float = float(np.finfo(np.float32).eps),
) -> dict[str, int]:
    """How many greedy texts equal plain decoding's, and why others do not.

    A text that parts from the plain one where the target's two logits are within `NEAR_TIE`, or
    `UNITS` in the last place, is a near tie: passes over different numbers of tokens round
    differently.

    Args:
        target: the model.
        prompts: token ids of each.
        plain, found: cells on them.
        precision: of the type that the target computes in, relative to 1.
    """
    counts = {"identical": 0, "near_ties": 0, "different": 0}
    for prompt, ours, theirs in zip(prompts, plain, found, strict=True):
        pairs = zip(ours.tokens, theirs.tokens, strict=False)
        where = next((i for i, (a, b) in enumerate(pairs) if a != b), None)
        if where is None:
            counts["identical"] += 1
            continue
        text = [*prompt.tolist(), *ours.tokens[:where]]
        logits = target.logits(text)[-1]
        one, other = (float(logits[cell.tokens[where]]) for cell in (ours, theirs))
        unit = precision * max(abs(one), abs(other))
        near = abs(one - other) <= max(NEAR_TIE, UNITS * unit)
        counts["near_ties" if near else "different"] += 1
    return counts


def rows(entries: Sequence[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Cells of the table, strongest first at each temperature."""
    shown = []
    for entry in sorted(entries, key=lambda e: (e["temperature"], -e["ratio"]["median"])):
        step = entry.get("step_seconds", {})
        shown.append(
            (
                f"{entry['temperature']:g}",
                entry["name"] + (" *" if entry["name"] == entry["strongest_baseline"] else ""),
                "-".join(map(str, entry.get("branching", ()))),
                f"{entry['tokens_per_second']:.2f}",
                *(
                    _told(entry.get(ratio))
                    for ratio in ("ratio", "ratio_to_strongest", "ratio_to_transformers")
                ),
                f"{entry['predicted_ratio']:.2f}" if "predicted_ratio" in entry else "",
                f"{entry['tokens_per_call']:.2f}" if "tokens_per_call" in entry else "",
                *(f"{1e3 * step[phase]:.1f}" if step else "" for phase in PHASES),
            )
        )
    return shown


CAPTION = (
    "ratio: speed over our plain decoding, over the strongest baseline (*) and over transformers' "
    "plain mode, whose linear layers run on our kernels too: medians of paired prompts with 95 % "
    "intervals; ms: means of a step"
)
NEEDED = (
    "Acceptance at each level, given those above, beside the constant one that a ratio to plain "
    "decoding would take at the measured costs, with the best number of levels in brackets:"
)
COLUMNS = (
    *("T", "configuration", "tree", "tokens/s", "ratio", "to strongest", "to transformers"),
    "predicted",
    *("tokens/pass", "draft ms", "verify ms", "sample ms", "host ms"),
)


def page(document: dict[str, Any]) -> str:
    """The run as Markdown: table, where prediction and measurement part, greedy texts, versions."""
    entries = document["configurations"]
    table = [COLUMNS, ("---",) * len(COLUMNS), *rows(entries)]
    lines = [f"# {document['title']}", "", f"{CAPTION[0].upper()}{CAPTION[1:]}.", ""]
    lines += ["| " + " | ".join(cells) + " |" for cells in table]
    against = [e for e in entries if "measured_over_predicted" in e]
    if against:
        lines += ["", "Measured over predicted, by factor of the ratio and phase of a step:", ""]
        lines.append(
            "| T | configuration | ratio | tokens | plain step | " + " | ".join(PHASES) + " |"
        )
        lines.append("|---" * (5 + len(PHASES)) + "|")
        for entry in against:
            over = entry["measured_over_predicted"]
            parts = [over[name] for name in ("ratio", "tokens", "plain")]
            parts += [over["phases"][name] for name in PHASES]
            shown = [f"{value:.2f}" for value in parts]
            name = f"| {entry['temperature']:g} | {entry['name']} | "
            lines.append(name + " | ".join(shown) + " |")
        lines += ["", NEEDED, ""]
        goals = " | ".join(f"for {goal:g}" for goal in GOALS)
        lines += [f"| T | configuration | accepted, by level | {goals} |"]
        lines += ["|---" * (3 + len(GOALS)) + "|"]
        for entry in against:
            accepted = ", ".join(f"{rate:.2f}" for rate in entry["conditional_acceptance"])
            goals = " | ".join(
                f"{found[0]:.2f} ({found[1]})" if found else "none is enough"
                for found in entry["needed_acceptance"]
            )
            name = f"| {entry['temperature']:g} | {entry['name']} | "
            lines.append(f"{name}{accepted} | {goals} |")
    lines += _by_text(entries)
    greedy = [e for e in entries if "greedy" in e]
    if greedy:
        lines += ["", "Texts at temperature 0 beside plain decoding's:", ""]
        for entry in greedy:
            counts = ", ".join(f"{n} {k.replace('_', ' ')}" for k, n in entry["greedy"].items())
            lines.append(f"- {entry['name']}: {counts}")
    known = {**document["settings"], **document["versions"]}
    told = ", ".join(f"{name} {value}" for name, value in known.items())
    return "\n".join([*lines, "", f"{told}.", ""])


def _by_text(entries: Sequence[dict[str, Any]]) -> list[str]:
    lines = [
        "",
        "Ratio to plain decoding by prompt set, and by whether plain decoding's text holds an end "
        "token, which all configurations pass over; in brackets the number of prompts:",
    ]
    for temperature in sorted({entry["temperature"] for entry in entries}):
        here = [entry for entry in entries if entry["temperature"] == temperature]
        here.sort(key=lambda entry: -entry["ratio"]["median"])
        plain = next(entry for entry in here if entry["name"] == PLAIN)
        kinds = [f"{kind} ({one['prompts']})" for kind, one in plain["by_text"].items()]
        lines += ["", f"| T | configuration | {' | '.join(kinds)} |"]
        lines.append("|---" * (2 + len(kinds)) + "|")
        for entry in here:
            ratios = [one["ratio"] for one in entry["by_text"].values()]
            shown = [_told(ratio) for ratio in ratios]
            lines.append(f"| {temperature:g} | {entry['name']} | {' | '.join(shown)} |")
        lines += ["", f"Behind an end token stand {plain['behind_end_token']:.0%} of its tokens."]
    return lines


def draw(entries: Sequence[dict[str, Any]], title: str, path: Path) -> None:
    """A figure: measured ratios with their intervals, predictions beside them."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    from spectheory.cli.style import COLOURS, settings

    temperatures = sorted({entry["temperature"] for entry in entries})
    with pyplot.rc_context(settings()):
        height = 0.9 + 0.24 * len(entries) / len(temperatures)
        figure, axes = pyplot.subplots(
            1, len(temperatures), figsize=(4.6 * len(temperatures), height), squeeze=False
        )
        for axis, temperature in zip(axes[0], temperatures, strict=True):
            here = [entry for entry in entries if entry["temperature"] == temperature]
            here.sort(key=lambda entry: entry["ratio"]["median"])
            for y, entry in enumerate(here):
                ratio = entry["ratio"]
                axis.errorbar(
                    ratio["median"],
                    y,
                    xerr=[
                        [ratio["median"] - ratio["low"]],
                        [ratio["high"] - ratio["median"]],
                    ],
                    fmt="s" if entry["baseline"] else "o",
                    color=COLOURS[9] if entry["baseline"] else COLOURS[0],
                )
                if "predicted_ratio" in entry:
                    axis.plot(entry["predicted_ratio"], y, "x", color=COLOURS[3])
            axis.axvline(1, color="black", linewidth=0.8)
            axis.set_yticks(range(len(here)), [entry["name"] for entry in here])
            axis.set_title(f"temperature {temperature:g}")
            axis.set_xlabel("speed over plain decoding (x: predicted)")
        figure.suptitle(title, fontsize=9)
        figure.tight_layout()
        figure.savefig(path)
        pyplot.close(figure)


def _told(ratio: dict[str, float] | None) -> str:
    """A ratio with its interval; nothing if it was not taken."""
    if ratio is None:
        return ""
    return f"{ratio['median']:.2f} ({ratio['low']:.2f}, {ratio['high']:.2f})"


def _rate(cells: Sequence[Cell]) -> float:
    return sum(len(cell.tokens) for cell in cells) / sum(cell.seconds for cell in cells)


def _column_sums(lists: Sequence[Sequence[int]]) -> list[int]:
    sums = np.zeros(max(map(len, lists), default=0), np.int64)
    for values in lists:
        sums[: len(values)] += np.asarray(values, np.int64)
    return [int(value) for value in sums]


def _conditional(cells: Sequence[Cell]) -> list[float]:
    tested, accepted = (
        _column_sums([getattr(cell, name) for cell in cells]) for name in ("tested", "accepted")
    )
    return [a / t for a, t in zip(accepted, tested, strict=True)]


def _phases(cells: Sequence[Cell]) -> dict[str, float]:
    """Mean seconds of a step, by phase."""
    calls = sum(cell.calls for cell in cells)
    return {phase: sum(cell.phases.get(phase, 0) for cell in cells) / calls for phase in PHASES}


def _against(
    plan: dict[str, Any], plain_step: StepCost, found: Sequence[Cell], plain: Sequence[Cell]
) -> dict[str, Any]:
    """A plan beside what was measured, the difference split into factors."""
    calls = sum(cell.calls for cell in found)
    gap = split_gap(
        (plan["tokens"], sum(len(cell.tokens) for cell in found) / calls),
        (StepCost(**plan["step"]), StepCost(**_phases(found))),
        (plain_step, StepCost(**_phases(plain))),
    )
    return {
        "branching": plan["branching"],
        "predicted_ratio": plan["ratio"],
        "predicted_tokens_per_call": plan["tokens"],
        "predicted_step_seconds": plan["step"],
        "needed_acceptance": plan["needed"],
        "measured_over_predicted": gap._asdict(),
    }
