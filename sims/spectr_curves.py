"""Acceptance and block efficiency of SpecTr's K-SEQ against the number of drafts.

Acceptance is averaged over random pairs of laws, by closed forms. Block efficiency is exact for
tokens that do not depend on each other: K drafts of L tokens, at each position K-SEQ on those that
still agree with the output; after a token x is accepted, m of k drafts go on, those that read x.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spectheory.distributions import from_logits
from spectheory.transport.subset_dual import optimal_value
from spectheory.transport.theory import ratio_bound
from spectheory.verification.k_seq import KSeq
from spectheory.verification.rule import rule

if TYPE_CHECKING:
    import polars


@dataclass(frozen=True)
class Config:
    """Pairs of laws, and drafts.

    Attributes:
        vocab: tokens; target logits are normal with deviation ``spread``.
        spread: of the target's logits.
        noise: deviation of the draft's logits from the target's.
        pairs: of laws, averaged over.
        drafts: numbers K.
        length: L, tokens a draft.
        seed: of the laws.
    """

    vocab: int = 200
    spread: float = 2.5
    noise: float = 1.0
    pairs: int = 40
    drafts: tuple[int, ...] = (1, 2, 3, 4, 6, 8)
    length: int = 8
    seed: int = 0


def run(config: Config) -> polars.DataFrame:
    """Columns quantity ("acceptance" or "block efficiency"), k, rule, value.

    Rule "guarantee" is `ratio_bound` times the optimum. Block efficiencies: "k_seq" for SpecTr's
    drafts, "optimum" for K fresh drafts at every position with optimal acceptance.
    """
    import polars

    target, draft = laws(config)
    rows: list[tuple[str, int, str, float]] = []
    for k in config.drafts:
        optimum = np.asarray(optimal_value(target, draft, k, "iid"))
        rates = {"optimum": optimum, "guarantee": ratio_bound(k) * optimum}
        for key in ("k_seq", "recursive"):
            found = rule(key).rates(target, draft, k)
            assert found is not None
            rates[key] = found.acceptance
        rows += [("acceptance", k, key, float(rate.mean())) for key, rate in rates.items()]
    moves = [survivors(p, q, max(config.drafts)) for p, q in zip(target, draft, strict=True)]
    drawn = np.mean([block_efficiency(move, config.length) for move in moves], axis=0)
    for k in config.drafts:
        fresh = np.asarray(optimal_value(target, draft, k, "iid"))[:, None]
        tree = 1 + np.cumprod(np.repeat(fresh, config.length, axis=1), axis=1).sum(axis=1)
        rows.append(("block efficiency", k, "k_seq", float(drawn[k])))
        rows.append(("block efficiency", k, "optimum", float(tree.mean())))
    return polars.DataFrame(rows, schema=["quantity", "k", "rule", "value"], orient="row")


def laws(config: Config) -> tuple[np.ndarray, np.ndarray]:
    """Target and draft laws ``(pairs, V)``."""
    rng = np.random.default_rng(config.seed)
    logits = config.spread * rng.standard_normal((config.pairs, config.vocab))
    noisy = logits + config.noise * rng.standard_normal(logits.shape)
    return from_logits(logits), from_logits(noisy)


def survivors(target: np.ndarray, draft: np.ndarray, most: int) -> np.ndarray:
    """``(most + 1, most + 1)``: chance that of k drafts one is accepted and m read the same.

    Slot i is accepted after i - 1 rejections, each of which reads x with probability
    ``q(x) (1 - a(x)) / (1 - beta)``; later drafts read x with probability q(x).
    """
    moves = np.zeros((most + 1, most + 1))
    for k in range(1, most + 1):
        rho = KSeq().slowdown(target, draft, k)
        taken = np.minimum(target / rho, draft)  # q(x) a(x)
        beta = float(taken.sum())
        wasted = (draft - taken) / (1 - beta) if beta < 1 else np.zeros_like(draft)
        for slot in range(k):
            copies = np.zeros((most + 1, draft.size))
            copies[1] = taken * (1 - beta) ** slot
            for chance in [wasted] * slot + [draft] * (k - 1 - slot):
                copies[1:] = copies[1:] * (1 - chance) + copies[:-1] * chance
            moves[k] += copies.sum(axis=1)
    return moves


def block_efficiency(moves: np.ndarray, length: int) -> np.ndarray:
    """``(most + 1,)`` expected tokens a target call from k drafts of ``length`` tokens."""
    tokens = np.ones(len(moves))
    for _ in range(length):
        tokens = 1 + moves @ tokens
    return tokens
