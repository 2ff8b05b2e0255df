"""What a stream audit bets on: where in a step a token stands, and what about it is counted.

A stratum is known before its token is: it rests on the steps before and on the drafts before it in
its own step, which were emitted. "Accepted at this row" is not such a thing, and is no stratum. The
number of drafts is one as long as a drafter may stop after a token, and never takes one back.
"""

from __future__ import annotations

from typing import Any

import numpy as np

STRATA = (
    "all",
    "row 0",
    "row 1",
    "row 2",
    "row 3 and later",
    "bonus token",
    "step after a replacement",
    "step after a bonus token",
    "batch of 1",
    "batch of 2 to 7",
    "batch of 8 or more",
)

FIXED = ("surprise", "mode", "repeat", "draft_ratio")
LEARNT = ("level", "token")

MEANINGS = {
    "surprise": "tokens less, or more, probable than they should be",
    "mode": "the most probable token too frequent, or too rare",
    "repeat": "the token before repeated too often, or too rarely",
    "draft_ratio": "tokens that the draft prefers too frequent, or too rare",
    "level": "tokens of some range of probability too frequent, or too rare",
    "token": "some tokens after some token too frequent, or too rare",
}

UNITS = {"surprise": "nats", "mode": "probability", "repeat": "probability", "draft_ratio": "nats"}
"""What the mean of each fixed score is reported in."""

SURPRISE_CLIP = 12.0
RATIO_CLIP = 3.0

SCALES = {"surprise": SURPRISE_CLIP, "mode": 1.0, "repeat": 1.0, "draft_ratio": 2 * RATIO_CLIP}
"""How many of its unit a score of 1 is."""

LEVELS = 16
BUCKETS = 64
PRIOR = 20.0
"""Draws' worth of doubt in a learnt score."""


def strata(
    row: np.ndarray, drafted: np.ndarray, after: np.ndarray, batch: np.ndarray | None
) -> np.ndarray:
    """``(n, len(STRATA))`` bool, the strata that each token is in.

    Args:
        row: ``(n,)`` place of the token in its step.
        drafted: ``(n,)`` drafts of its step.
        after: ``(n,)`` how the request's step before ended: 0 there was none, 1 in a replacement,
            2 in a bonus token.
        batch: ``(n,)`` batch size, or None.
    """
    size = np.zeros_like(row) if batch is None else batch
    return np.stack(
        [
            row >= 0,
            row == 0,
            row == 1,
            row == 2,
            row >= 3,
            (row == drafted) & (drafted > 0),
            after == 1,
            after == 2,
            size == 1,
            (size >= 2) & (size < 8),
            size >= 8,
        ],
        axis=1,
    )


def fixed_scores(
    tokens: np.ndarray,
    before: np.ndarray,
    target: np.ndarray,
    draft: np.ndarray | None,
    has_draft: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """``(n, len(FIXED))`` scores in [-1, 1], mean 0 under the target, and bool, which speak.

    `SCALES` times a score is in its unit. "repeat" is silent on a token with none before it, and
    "draft_ratio" where there is no draft law, or it is the target's; the score is then 0.

    Args:
        tokens: ``(n,)``.
        before: ``(n,)`` token before each, or -1.
        target: ``(n, V)`` laws.
        draft: ``(n, V)`` laws, or None.
        has_draft: ``(n,)`` whether the draft law is to be read.
    """
    rows = np.arange(len(tokens))
    logs = np.log(np.where(target > 0, target, 1.0))
    surprise = np.minimum(-logs, SURPRISE_CLIP) / SURPRISE_CLIP
    mode = target.argmax(axis=1)
    known = before >= 0
    repeated = np.where(known, target[rows, np.maximum(before, 0)], 0.0)
    scores = [
        surprise[rows, tokens] - (target * surprise).sum(axis=1),
        (tokens == mode) - target[rows, mode],
        known * (tokens == before) - repeated,
        np.zeros(len(tokens)),
    ]
    always = np.ones(len(tokens), dtype=bool)
    speaks = [always, always, known, np.zeros(len(tokens), dtype=bool)]
    if draft is not None:
        ratio = np.log(np.where(draft > 0, draft, 1.0)) - logs
        ratio = np.where(draft > 0, np.clip(ratio, -RATIO_CLIP, RATIO_CLIP), -RATIO_CLIP)
        centred = ratio[rows, tokens] - (target * ratio).sum(axis=1)
        scores[-1] = np.where(has_draft, centred / (2 * RATIO_CLIP), 0.0)
        speaks[-1] = has_draft & (draft != target).any(axis=1)
    return np.stack(scores, axis=1), np.stack(speaks, axis=1)


class LearntScores:
    """Scores whose direction is what earlier tokens strayed in, one direction a stratum.

    Over cells c the score is half of ``clip(2 R_c / (E_c + 20), -1, 1)`` with R the count less its
    mean E so far: the estimated relative bias of the cell. It is centred under the target, so what
    was learnt, rightly or not, makes no difference to its mean under the null.

    Args:
        strata: how many.
        size: V; tokens share cells, modulo 64, where there are more.
    """

    def __init__(self, strata: int, size: int) -> None:
        self.buckets = min(BUCKETS, size)
        shapes = {"level": (strata, 1, LEVELS), "token": (strata, self.buckets, self.buckets)}
        self.excess = {name: np.zeros(shape) for name, shape in shapes.items()}
        self.expected = {name: np.zeros(shape) for name, shape in shapes.items()}

    def cells(
        self, tokens: np.ndarray, before: np.ndarray, target: np.ndarray
    ) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """By score: ``(n,)`` key of each token's context, ``(n,)`` its cell, ``(n, cells)`` law."""
        rows = np.arange(len(tokens))
        levels = np.clip(-np.log2(np.maximum(target, 2.0**-LEVELS)), 0, LEVELS - 1).astype(np.intp)
        flat = (rows[:, None] * LEVELS + levels).ravel()
        by_level = np.bincount(flat, target.ravel(), minlength=len(tokens) * LEVELS)
        pad = -target.shape[1] % self.buckets
        folded = np.pad(target, ((0, 0), (0, pad))).reshape(len(tokens), -1, self.buckets)
        return {
            "level": (np.zeros_like(tokens), levels[rows, tokens], by_level.reshape(-1, LEVELS)),
            "token": (
                np.maximum(before, 0) % self.buckets,
                tokens % self.buckets,
                folded.sum(axis=1),
            ),
        }

    def scores(
        self, stratum: int, name: str, key: np.ndarray, cell: np.ndarray, law: np.ndarray
    ) -> np.ndarray:
        """``(n,)`` scores in [-1, 1] of tokens that are all in one stratum."""
        table = self.excess[name][stratum] / (self.expected[name][stratum] + PRIOR)
        direction = np.clip(2 * table, -1, 1)
        taken: np.ndarray = direction[key, cell]
        return (taken - (law * direction[key]).sum(axis=1) / law.sum(axis=1)) / 2

    def learn(
        self, stratum: int, name: str, key: np.ndarray, cell: np.ndarray, law: np.ndarray
    ) -> None:
        """Take in tokens of one stratum, after they have been scored."""
        expected, excess = self.expected[name][stratum], self.excess[name][stratum]
        keys, cells = expected.shape
        flat = (key[:, None] * cells + np.arange(cells)).ravel()
        mass = np.bincount(flat, law.ravel(), minlength=keys * cells).reshape(keys, cells)
        count = np.bincount(key * cells + cell, minlength=keys * cells).reshape(keys, cells)
        expected += mass
        excess += count - mass

    def state(self) -> dict[str, dict[str, list[Any]]]:
        """What was learnt, as nested lists."""
        return {
            kind: {name: table.tolist() for name, table in tables.items()}
            for kind, tables in (("excess", self.excess), ("expected", self.expected))
        }

    @classmethod
    def from_state(
        cls, state: dict[str, dict[str, list[Any]]], strata: int, size: int
    ) -> LearntScores:
        """Continue where `state` was taken."""
        made = cls(strata, size)
        made.excess, made.expected = (
            {name: np.array(table) for name, table in state[kind].items()}
            for kind in ("excess", "expected")
        )
        return made
