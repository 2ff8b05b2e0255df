"""How far rules can fall behind the optimum of their draft scheme: the worst pair of laws found.

All law-lossless rules of several drafts but those that attain the optimum, whose constant is 1. A
found ratio is attained, so the true worst one is at most that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spectheory.audit.enumeration import enumerate_rule
from spectheory.drafting.scheme import scheme as draft_scheme
from spectheory.transport.theory import WorstCase, ratio_bound, worst_ratio
from spectheory.verification.rule import rule

if TYPE_CHECKING:
    import polars


LEAST = 1e-9
"""No token of a pair is rarer: at the border, rounding would pass for a loss."""


@dataclass(frozen=True)
class Config:
    """What is searched.

    Attributes:
        rules: keys of rules with those of the schemes they are searched under.
        drafts: numbers k; those that a rule does not serve are left out.
        vocabs: sizes of vocabularies; the worst over them is kept.
        rounds, population: of the search; a quarter of the rounds where a rule has no closed form,
            and is enumerated.
        seed: of the search.
    """

    rules: tuple[tuple[str, str], ...] = (
        ("k_seq", "iid"),
        ("recursive", "iid"),
        ("naive", "iid"),
        ("nss", "iid"),
        ("gumbel_list", "iid"),
        ("recursive_without_replacement", "without_replacement"),
        ("naive", "without_replacement"),
        ("nss", "without_replacement"),
        ("nss", "distinct"),
        ("nss", "greedy"),
        ("spechub", "greedy"),
    )
    drafts: tuple[int, ...] = (2, 3, 4)
    vocabs: tuple[int, ...] = (2, 3)
    rounds: int = 100
    population: int = 48
    seed: int = 0


def run(config: Config) -> polars.DataFrame:
    """Columns rule, scheme, k, vocab, ratio, target, draft, bound (of K-SEQ on i.i.d. drafts)."""
    import polars

    rows = []
    for key, scheme in config.rules:
        for k in config.drafts:
            # Draws without repeats need k tokens, and of no more than k there is nothing to refuse.
            sizes = [v for v in config.vocabs if v > k or not draft_scheme(scheme).distinct]
            if not rule(key).serves(scheme, k) or not sizes:
                continue
            worst = min((_worst(key, scheme, k, v, config) for v in sizes), key=lambda w: w.ratio)
            rows.append(
                {
                    "rule": key,
                    "scheme": scheme,
                    "k": k,
                    "vocab": worst.target.size,
                    "ratio": worst.ratio,
                    "target": worst.target.tolist(),
                    "draft": worst.draft.tolist(),
                    "bound": ratio_bound(k),
                }
            )
    return polars.DataFrame(rows)


def _worst(key: str, scheme: str, k: int, vocab: int, config: Config) -> WorstCase:
    """The search for one rule, scheme, k and vocabulary."""
    verifier = rule(key)
    uniform = np.full((1, vocab), 1 / vocab)
    closed = verifier.rates(uniform, uniform, k, scheme) is not None

    def acceptance(target: np.ndarray, draft: np.ndarray, k: int) -> np.ndarray:
        inside = np.minimum(target, draft).min(axis=-1) >= LEAST
        found = np.full(len(target), np.inf)
        target, draft = target[inside], draft[inside]
        if not inside.any():
            return found
        if closed:
            rates = verifier.rates(target, draft, k, scheme)
            assert rates is not None
            found[inside] = np.asarray(rates.acceptance)
        else:
            drawn = draft_scheme(scheme)
            pairs = zip(target, draft, strict=True)
            found[inside] = [enumerate_rule(verifier, drawn, p, q, k).acceptance for p, q in pairs]
        return found

    rounds = config.rounds if closed else config.rounds // 4
    return worst_ratio(
        acceptance, k, vocab, config.seed, scheme, rounds=rounds, population=config.population
    )
