"""How the ratios of `spectheory bench decode` differ between kinds of texts.

All texts are as long, so end tokens are passed over; what a model writes behind one is easy to
copy or hard to draft, and no user waits for it. So texts with and without one are told apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from spectheory.cli.bench_cells import Cell
from spectheory.cli.bench_report import paired_ratio


def by_text(
    sets: Sequence[str], found: Sequence[Cell], plain: Sequence[Cell], ends: frozenset[int]
) -> dict[str, Any]:
    """Number of prompts and ratio to plain decoding, for each prompt set and with no end token.

    Args:
        sets: each prompt's.
        found, plain: a configuration's cells and plain decoding's.
        ends: tokens that end a text; plain decoding's text tells which texts hold one.

    >>> plain = [Cell(2.0, [5, 6]), Cell(8.0, [5, 0])]
    >>> split = by_text(["a", "a"], [Cell(1.0, [5, 6])] * 2, plain, frozenset([0]))
    >>> [(kind, one["prompts"], one["ratio"]["median"]) for kind, one in split.items()]
    [('a', 2, 5.0), ('no end token', 1, 2.0), ('an end token', 1, 8.0)]
    """
    kinds = {name: [s == name for s in sets] for name in dict.fromkeys(sets)}
    kinds["no end token"] = [ends.isdisjoint(cell.tokens) for cell in plain]
    kinds["an end token"] = [not none for none in kinds["no end token"]]
    split = {}
    for kind, which in kinds.items():
        ours, theirs = (
            [cell for cell, wanted in zip(cells, which, strict=True) if wanted]
            for cells in (found, plain)
        )
        if ours:
            ratio = paired_ratio(ours, theirs)
            split[kind] = {"prompts": len(ours), "ratio": ratio._asdict()}
    return split


def share_behind_end(cells: Sequence[Cell], ends: frozenset[int]) -> float:
    """The share of tokens behind a text's first end token.

    >>> share_behind_end([Cell(1.0, [5, 0, 7, 7]), Cell(1.0, [5, 6, 7, 8])], frozenset([0]))
    0.25
    """
    behind = 0
    for cell in cells:
        first = next((i for i, token in enumerate(cell.tokens) if token in ends), None)
        behind += 0 if first is None else len(cell.tokens) - first - 1
    return behind / sum(len(cell.tokens) for cell in cells)
