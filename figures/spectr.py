"""SpecTr: acceptance and block efficiency against the number of drafts, and speed-up by overhead.

Left and middle: random pairs of laws over 200 tokens (the paper's models are not public), drafts of
8 tokens; block efficiency is exact for independent tokens. SpecTr's drafts thin out on the way, so
it stays below a tree that draws k fresh drafts at every position. Crosses: block efficiencies
printed for the paper's models, second-hand. Right: the speed-ups that those imply, B / (1 + o), for
one overhead o of drafting; marks at the o implied by SpecTr's printed speed-up.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import polars

from figures._agreement import Compared
from sims import spectr_curves, spectr_speed
from spectheory.cli.style import COLOURS, look
from spectheory.literature.printed import number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

references = ("sun2023spectr", "miao2024specinfer", "hu2025towards")
inputs = {"spectr_curves": spectr_curves.Config(), "spectr_speed": spectr_speed.Config()}
size = (10.0, 3.5)
LABELS = {
    "optimum": "optimum (middle: in a tree)",
    "k_seq": "k_seq (middle: SpecTr)",
    "recursive": "recursive",
    "guarantee": "guarantee of K-SEQ",
}
METHODS = {"SpecTr": look("k_seq"), "speculative decoding": look("rejection")}


def draw(figure: Figure, tables: dict[str, Any]) -> None:
    """Acceptance, block efficiency, speed-up."""
    curves, speed = tables["spectr_curves"], tables["spectr_speed"]
    config = inputs["spectr_curves"]
    handles = {}
    acceptance, efficiency, overhead = figure.subplots(1, 3)
    for ax, quantity in ((acceptance, "acceptance"), (efficiency, "block efficiency")):
        for key, label in LABELS.items():
            here = (polars.col("quantity") == quantity) & (polars.col("rule") == key)
            line = curves.filter(here)
            if not len(line):
                continue
            style = look(key)
            colour = COLOURS[9] if key == "guarantee" else style.colour
            marker = "" if key == "guarantee" else style.marker
            drawn = ax.plot(line["k"], line["value"], color=colour, marker=marker)
            handles.setdefault(label, drawn[0])
        ax.set_xlabel("number of drafts k")
        ax.set_xticks(config.drafts)
    acceptance.set_ylabel("acceptance probability")
    efficiency.set_ylabel("tokens a target call")
    for k, method in ((1, "speculative decoding"), (max(config.drafts), "SpecTr")):
        printed = number("sun2023spectr", "block_efficiency", "tokens", method=method)
        (handles["printed, other models"],) = efficiency.plot(
            [k], [printed.value], "x", color="black", markersize=7, mew=1.6
        )
    for method, style in METHODS.items():
        line = speed.filter(polars.col("method") == method)
        curve, point = (line.filter(polars.col("implied") == x) for x in (False, True))
        (handles[f"{method}, from printed B"],) = overhead.plot(
            curve["overhead"], curve["speed_up"], "--", color=style.colour
        )
        overhead.plot(point["overhead"], point["speed_up"], style.marker, color=style.colour)
    overhead.set_xlabel("overhead o (target calls)")
    overhead.set_ylabel("speed-up over the target")
    figure.legend(handles.values(), handles, loc="outside lower center", ncols=4, frameon=False)


def compared(tables: dict[str, Any]) -> Iterator[Compared]:
    """The speed-up over one draft, from the block efficiencies."""
    speed = tables["spectr_speed"].filter("implied")
    ours, one = (speed.filter(polars.col("method") == m)["speed_up"].item() for m in METHODS)
    tokens = [number("sun2023spectr", "block_efficiency", "tokens", method=m) for m in METHODS]
    (low, high), (less, more) = (t.interval for t in tokens)  # type: ignore[misc]
    yield Compared(
        number("sun2023spectr", "speed_up_over_speculative_decoding"),
        ours / one,
        f"the block efficiencies are printed to two digits, so that their ratio is "
        f"anything between {float(low / more):.2f} and {float(high / less):.2f}",
    )
