"""Relaxed acceptance on real image codes, one token at a time: what it gains and its exact bias.

``python -m sims.grouped_bias`` takes the laws of the trained target and draft along held-out
digits, computes acceptance and bias of every relaxed rule by its formula, draws from the rule, and
writes the table, as Parquet and as a page. Measured beside formula: with A the tokens that a rule
favours, the frequency of A in its draws, less p(A), has the total variation for its mean.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sims.runner import SHIPPED, save
from spectheory.arrays import pick
from spectheory.decoding.progress import progress
from spectheory.decoding.threads import torch_threads
from spectheory.distributions import overlap, total_variation
from spectheory.verdict import inverse_transform
from spectheory.verification.amplify import Amplify
from spectheory.verification.grouped import Grouped
from spectheory.verification.grouped_best import GroupedBest
from spectheory.verification.grouped_keep import GroupedKeep
from spectheory.verification.grouped_redraw import GroupedRedraw
from spectheory.verification.grouped_window import GroupedWindow
from spectheory.verification.judge import Judge
from spectheory.verification.lantern import Lantern
from spectheory.verification.lantern_plus_plus import LanternPlusPlus
from spectheory.verification.local_threshold import LocalThreshold
from spectheory.verification.rejection import Rejection
from spectheory.verification.rule import VerificationRule
from spectheory.verification.token_groups import Neighbourhoods, Partition, RankWindow

if TYPE_CHECKING:
    import polars

PAGE = SHIPPED / "grouped_bias.md"
Z = 4.9
"""Half-width of the measured intervals in standard errors: false alarm 1e-6 each."""


@dataclass(frozen=True)
class Config:
    """What is measured.

    Attributes:
        images: held-out digits, 16 positions each.
        draws: outputs drawn a position.
        groups: numbers of groups of the partitions.
        ranks: half-widths of the windows in the target's order.
        draft_ranks: half-widths of the windows in the draft's order, as deployed.
        transported: positions at which the pixel distance is computed.
        seed: of the draws.
    """

    images: int = 360
    draws: int = 10
    groups: tuple[int, ...] = (128, 64, 32, 16, 8, 4)
    ranks: tuple[int, ...] = (1, 3, 7, 25)
    draft_ranks: tuple[int, ...] = (1, 3, 7, 25)
    transported: int = 6
    seed: int = 0


def laws(images: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Target and draft laws ``(16 n, V)`` along held-out digits, and the codebook."""
    from spectheory.digits.data import digits
    from spectheory.digits.vq_codebook import encode
    from spectheory.digits.vq_model import ImageLaws
    from spectheory.digits.vq_pair import load_code_pair

    pair, held_out = load_code_pair(), digits("test")
    tokens = encode(held_out.tokens[:images], pair.codebook)
    target, draft = (
        ImageLaws(model, held_out.labels).laws(tokens, np.arange(len(tokens))).reshape(-1, 128)
        for model in (pair.target, pair.draft)
    )
    return target, draft, pair.codebook


def candidates(config: Config, codebook: np.ndarray) -> list[tuple[str, VerificationRule]]:
    """The rules with their settings in words."""
    from spectheory.digits.vq_codebook import cluster

    found: list[tuple[str, VerificationRule]] = [("one draft", Rejection())]
    for groups in config.groups:
        partition = Partition(cluster(codebook, groups))
        members = f"{groups} groups"
        found += [
            (members, Grouped(partition)),
            (members, GroupedKeep(partition)),
            (members, GroupedBest(partition)),
            (members, GroupedRedraw(partition)),
        ]
    for ranks in config.ranks:
        found += [
            (f"{ranks} ranks", Grouped(RankWindow(ranks, ranks))),
            (f"{ranks} ranks", GroupedBest(RankWindow(ranks, ranks))),
            (f"{ranks} ranks, near", Grouped(RankWindow(ranks, ranks, None, codebook))),
        ]
    near = Neighbourhoods(8, codebook)
    found += [(f"{w:g}", Amplify(w)) for w in (1.5, 2.0, 4.0)]
    found += [(f"{j:g}", Judge(j)) for j in (0.1, 0.25, 0.5)]
    found += [(f"{d:g}", Lantern(d, near)) for d in (0.05, 0.2, 0.4)]
    found += [(f"{w:g}", LanternPlusPlus(neighbours=near, factor=w)) for w in (1.5, 2.0, 4.0)]
    found += [(f"{t:g}", LocalThreshold(t, near)) for t in (0.1, 0.2, 0.4)]
    found += [
        (f"{r} ranks of the draft", GroupedWindow(RankWindow(r, r), by_draft=True))
        for r in config.draft_ranks
    ]
    return found


def measured_bias(
    rule: VerificationRule,
    target: np.ndarray,
    draft: np.ndarray,
    law: np.ndarray,
    draws: int,
    generator: np.random.Generator,
) -> tuple[float, float]:
    """Mean total variation to the target over positions, from draws, and its standard error.

    Args:
        law: ``(n, V)`` the declared output law; it says which tokens are favoured. Of a lossless
            rule, those that the draft favours are counted, and the mean must be 0.
        draws: outputs a position.
    """
    favoured = (draft if rule.lossless else law) > target
    expected = (target * favoured).sum(axis=-1)
    hits = np.zeros((draws, len(target)))
    for i in range(draws):
        drafts = inverse_transform(draft, generator.random(len(target)))[:, None]
        verdict = rule.verdict(target, draft, drafts)
        token = verdict.sample(generator.random((len(target), 2))).token
        hits[i] = pick(favoured, token) - expected
    spread = hits.var(axis=0, ddof=1).sum() / draws
    return float(hits.mean()), math.sqrt(spread) / len(target)


def run(config: Config) -> polars.DataFrame:
    """One row a rule and setting.

    Columns: rule, setting, ladder (accept probability), bias by formula, bias measured and its
    standard error, shift of the mean patch in pixel units, and the mean Wasserstein-1 distance in
    pixel space at some positions.
    """
    import polars
    from scipy.stats import wasserstein_distance_nd

    target, draft, codebook = laws(config.images)
    listed = candidates(config, codebook)
    generator = np.random.default_rng(config.seed)
    far = np.linspace(0, len(target) - 1, config.transported).astype(int)
    rows = []
    with progress("rules", len(listed)) as bar:
        for done, (setting, rule) in enumerate(listed):
            law = rule.output_law(target, draft, 1)
            rates = rule.rates(target, draft, 1)
            assert rates is not None
            bias, error = measured_bias(rule, target, draft, law, config.draws, generator)
            moved = np.linalg.norm((law - target) @ codebook, axis=-1)
            distance = [
                wasserstein_distance_nd(codebook, codebook, target[i], law[i] / law[i].sum())
                if total_variation(target[i], law[i]) > 1e-9
                else 0.0
                for i in far
            ]
            rows.append(
                {
                    "rule": rule.key,
                    "setting": setting,
                    "ladder": float(rates.ladder.mean()),
                    "bias": float(total_variation(target, law).mean()),
                    "measured": bias,
                    "error": error,
                    "mean_patch": float(moved.mean()),
                    "pixels": float(np.mean(distance)) if len(far) else math.nan,
                }
            )
            bar(done + 1)
    return polars.DataFrame(rows)


def markdown(table: polars.DataFrame, config: Config, rejection: float) -> str:
    """The table as it is committed."""
    lines = [
        f"Laws of the trained pair at {16 * config.images:,} positions of held-out digits, "
        f"{config.draws} draws each, seed {config.seed}; mean overlap 1 - TV(p, q) = "
        f"{rejection:.4f}. Intervals of the measured bias have false-alarm rate 1e-6. Shift of the "
        f"mean patch and Wasserstein-1 distance (at {config.transported} positions) are in pixel "
        "units, ink to paper being 2.",
        "",
        "| rule | setting | accepted | bias, formula | bias, measured | mean patch | Wasserstein |",
        "|---|---|--:|--:|--:|--:|--:|",
    ]
    lines += [
        f"| `{row['rule']}` | {row['setting']} | {row['ladder']:.4f} | {row['bias']:.4f} "
        f"| {row['measured']:.4f} ± {Z * row['error']:.4f} | {row['mean_patch']:.4f} "
        f"| {row['pixels']:.4f} |"
        for row in table.iter_rows(named=True)
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Compute the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=Config.images)
    config = Config(images=parser.parse_args().images)
    torch_threads(1)
    target, draft, _ = laws(config.images)
    table = run(config)
    save(table, "grouped_bias", config, SHIPPED)
    text = markdown(table, config, float(overlap(target, draft).mean()))
    PAGE.write_text(text, encoding="utf-8")
    print(text, end="")


if __name__ == "__main__":
    main()
