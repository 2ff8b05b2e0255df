"""Colours, markers and figure settings: one rule looks the same in every figure."""

from __future__ import annotations

import zlib
from typing import Any, NamedTuple

OPTIMUM = "optimum"

COLOURS = (
    "#0072B2",  # blue
    "#E69F00",  # orange
    "#009E73",  # green
    "#D55E00",  # vermilion
    "#CC79A7",  # purple
    "#56B4E9",  # sky
    "#882255",  # wine
    "#999933",  # olive
    "#332288",  # indigo
    "#AAAAAA",  # grey
)
"""Okabe and Ito's palette without its yellow and black, then three of Tol's and a grey: safe for
colour-blind eyes on white. Black is kept for the optimum."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p")

FIRST = (
    "rejection",
    "recursive",
    "k_seq",
    "greedy_optimal",
    "naive",
    "gumbel_list",
    "recursive_without_replacement",
    "nss",
    "spechub",
    "optimal_iid",
)
"""Rules whose looks are settled, for figures to stay comparable. A rule that is not named here
takes one by a hash of its key, so it needs no entry; never reorder."""


class Look(NamedTuple):
    """How a rule's line is drawn."""

    colour: str
    marker: str
    line: str


def look(key: str) -> Look:
    """The look of a rule, the same for ever.

    >>> look("optimum").colour, look("recursive") == look("recursive")
    ('#000000', True)
    """
    if key == OPTIMUM:
        return Look("#000000", "*", "-")
    if key in FIRST:
        index = FIRST.index(key)
        return Look(COLOURS[index], MARKERS[index], "-")
    index = zlib.crc32(key.encode())
    return Look(COLOURS[index % len(COLOURS)], MARKERS[index // 16 % len(MARKERS)], "--")


def settings() -> dict[str, Any]:
    """Matplotlib settings of every figure, for ``matplotlib.rc_context``."""
    return {
        "font.size": 9,
        "axes.titlesize": 9,
        "axes.labelsize": 9,
        "legend.fontsize": 8.5,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.color": "#dddddd",
        "grid.linewidth": 0.6,
        "lines.linewidth": 1.3,
        "lines.markersize": 4.5,
        "figure.dpi": 110,
        "savefig.dpi": 200,
        "pdf.fonttype": 42,
    }
