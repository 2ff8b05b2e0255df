"""How far rules can fall behind the optimum, and who accepts more than whom.

Left: acceptance over the optimum of the same drafts, on the worst pair of laws that a search over
vocabularies of two and three tokens found (so the constant is at most that), for every law-lossless
rule of several drafts that does not attain the optimum, and for SpecHub, which does; dashed where
drafts are distinct, dotted where they are greedy. (Unequal draft laws include equal ones, so
constants there are at most those of i.i.d. drafts.) Bars are what is proved for K-SEQ,
1 - (1 - 1/k)^k. Right: share of random pairs of laws (5 tokens, 3 drafts) on which the row accepts
more than the column; an empty field means never on these pairs, + on less than one in 200. Names
end in how the drafts are drawn. The worked ratios were found by a search in independent code.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import polars

from figures._agreement import Compared
from sims import dominance, worst_case
from spectheory.cli.style import COLOURS, look
from spectheory.literature.printed import Number
from spectheory.literature.reported import reported

if TYPE_CHECKING:
    from matplotlib.figure import Figure

references = ("sun2023spectr", "miao2024specinfer", "hu2025towards")
WORST = worst_case.Config()
inputs = {"worst_case": WORST, "dominance": dominance.Config()}
quick = inputs | {"worst_case": worst_case.Config(drafts=(2,), vocabs=(2,))}
size = (11.5, 5.0)
DIGITS = 5
DASHES = {"iid": "-", "without_replacement": "--", "distinct": "-.", "greedy": ":"}
NAMES = {
    "iid": "i.i.d.",
    "without_replacement": "w/o repl.",
    "distinct": "distinct",
    "greedy": "greedy",
}


def draw(figure: Figure, tables: dict[str, Any]) -> None:
    """Worst ratios on the left, the map on the right."""
    worst, shares = tables["worst_case"], tables["dominance"]
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.35))
    for key, scheme in WORST.rules:
        line = worst.filter((polars.col("rule") == key) & (polars.col("scheme") == scheme))
        if line.is_empty():
            continue
        style, name = look(key), key.replace("_without_replacement", "")
        left.plot(
            line["k"],
            line["ratio"],
            DASHES[scheme],
            color=style.colour,
            marker=style.marker,
            label=f"{name}, {NAMES[scheme]}",
        )
    ks = worst["k"].unique().sort()
    bounds = worst.unique("k").sort("k")["bound"]
    left.plot(ks, bounds, "_", color=COLOURS[9], markersize=26, mew=3, label="proved for k_seq")
    left.set_xticks(ks)
    left.set_xlim(ks[0] - 0.4, ks[-1] + 0.4)
    left.set_ylim(0, 1.02)
    left.set_xlabel("number of drafts k")
    left.set_ylabel("worst acceptance / optimum found")
    left.legend(loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=3, frameon=False)

    names = shares.unique("row", maintain_order=True).sort("mean", descending=True)["row"].to_list()
    wide = shares.pivot(on="column", index="row", values="share")
    matrix = wide.select(names).to_numpy()[[wide["row"].to_list().index(n) for n in names]]
    image = right.imshow(matrix, cmap="Blues", vmin=0, vmax=1)
    for (i, j), share in ((at, matrix[at]) for at in zip(*matrix.nonzero(), strict=True)):
        text = (
            f"{share:.2f}".lstrip("0") if 0.005 <= share < 0.995 else ("1" if share > 0.5 else "+")
        )
        right.text(j, i, text, ha="center", va="center", fontsize=6.5,
                   color="white" if share > 0.55 else "black")  # fmt: skip
    labels = [n.replace("without_replacement", "w/o repl.").replace("_", " ") for n in names]
    right.set_xticks(range(len(names)), labels, rotation=50, ha="right", fontsize=7)
    right.set_yticks(range(len(names)), labels, fontsize=7)
    right.grid(visible=False)
    figure.colorbar(image, ax=right, label="share of pairs where row > column", shrink=0.8)


def compared(tables: dict[str, Any]) -> Iterator[Compared]:
    """The worst ratios found independently, to as many digits as a search fixes."""
    worst = tables["worst_case"].filter((polars.col("k") == 2) & (polars.col("scheme") == "iid"))
    for rule in ("k_seq", "recursive"):
        place = reported("worked_examples")[f"worst_ratio_{rule}"]
        printed = f"{float(Fraction(place.value['ratio'])):.{DIGITS}f}"
        name = f"worked_examples/worst_ratio_{rule}.ratio"
        value = worst.filter(polars.col("rule") == rule)["ratio"].item()
        yield Compared(Number(name, printed, {}, "ratio", place), value)
