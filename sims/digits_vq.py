"""Images of codes, drawn plainly and speculatively: target calls saved, and what lossy rules cost.

``python -m sims.digits_vq train`` fits the codebook and trains target and draft (a few minutes on
one thread; goes on where it was killed) and pins the weights. ``python -m sims.digits_vq`` draws
images with every decoder and rule and writes its table and page into sims/tables; finished methods
are kept in out/digits_vq and not drawn again.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sims.runner import SHIPPED, save, source_digest
from spectheory.decoding.fixed_length import Generated, plain_decode, speculative_decode
from spectheory.decoding.jacobi import jacobi_decode
from spectheory.decoding.local_resample import local_decode
from spectheory.decoding.progress import progress
from spectheory.decoding.threads import torch_threads
from spectheory.verification.amplify import Amplify
from spectheory.verification.grouped import Grouped
from spectheory.verification.grouped_best import GroupedBest
from spectheory.verification.grouped_keep import GroupedKeep
from spectheory.verification.grouped_redraw import GroupedRedraw
from spectheory.verification.judge import Judge
from spectheory.verification.lantern import Lantern
from spectheory.verification.lantern_plus_plus import LanternPlusPlus
from spectheory.verification.local_threshold import LocalThreshold
from spectheory.verification.rule import VerificationRule, rule
from spectheory.verification.token_groups import Neighbourhoods, Partition, RankWindow

if TYPE_CHECKING:
    import polars

    from spectheory.digits.vq_pair import CodePair

KEPT = Path("out/digits_vq")
TABLE = SHIPPED / "digits_vq.md"
SOURCES = ("*.py", "decoding/*.py", "digits/*.py", "drafting/*.py", "verification/*.py")
"""Parts of `spectheory` that images are drawn with."""


@dataclass(frozen=True)
class Config:
    """How many images, and how they are drawn.

    Attributes:
        images: images a method; labels go round 0 to 9.
        drafts: tokens a round with the draft model.
        width: guesses a window of Jacobi decoding.
        groups: groups of the partitions of the codebook.
        splits: random splits for the permutation test of the Frechet distance.
        seed: of everything.
    """

    images: int = 2000
    drafts: int = 4
    width: int = 8
    groups: tuple[int, ...] = (64, 32, 16)
    splits: int = 200
    seed: int = 0


class Method(NamedTuple):
    """A way to draw images.

    Attributes:
        decoder: ``"plain"``, ``"draft"`` (a draft model), ``"jacobi"``, ``"coupled"`` (Jacobi with
            coupled guesses) or ``"local"`` (local resampling).
        rule: how drafts are verified; None for plain.
        name: the rule in words.
        radius: of local resampling.
    """

    decoder: str
    rule: VerificationRule | None
    name: str
    radius: int = 0

    @property
    def lossless(self) -> bool:
        """Whether its images have the target's law."""
        return self.rule is None or (self.rule.lossless and self.decoder != "local")


def methods(config: Config, codebook: np.ndarray) -> list[Method]:
    """Plain decoding, then every decoder with lossless rules, then with lossy ones."""
    from spectheory.digits.vq_codebook import cluster

    rejection = rule("rejection")
    found = [Method("plain", None, "plain")]
    found += [Method(d, rejection, "rejection") for d in ("draft", "jacobi", "coupled")]
    lossy: list[tuple[str, VerificationRule]] = []
    for groups in config.groups:
        partition = Partition(cluster(codebook, groups))
        lossy += [
            (f"grouped, {groups} groups", Grouped(partition)),
            (f"grouped_keep, {groups} groups", GroupedKeep(partition)),
        ]
        found.append(Method("jacobi", GroupedRedraw(partition), f"grouped_redraw, {groups} groups"))
    window = RankWindow(3, 3)
    near = Neighbourhoods(8, codebook)
    lossy += [
        ("grouped_window, 3 ranks", Grouped(window)),
        ("grouped_window, 3 ranks, near codes", Grouped(RankWindow(3, 3, None, codebook, 0.5))),
        ("grouped_best, 3 ranks", GroupedBest(window)),
        ("amplify, 2", Amplify(2.0)),
        ("judge, 0.25", Judge(0.25)),
        ("lantern, 0.2", Lantern(0.2, near)),
        ("lantern_plus_plus, 2", LanternPlusPlus(neighbours=near, factor=2.0)),
        ("local_threshold, 0.2", LocalThreshold(0.2, near)),
    ]
    found += [Method(d, r, name) for d in ("draft", "jacobi") for name, r in lossy]
    found += [Method("local", rejection, f"rejection, radius {r}", r) for r in (0, 1)]
    return found


def draw(method: Method, config: Config, pair: CodePair) -> Generated:
    """All images of a method."""
    from spectheory.digits.data import PATCH, SIDE
    from spectheory.digits.vq_model import ImageLaws

    labels = np.arange(config.images) % 10
    target, draft = (ImageLaws(model, labels) for model in (pair.target, pair.draft))
    name = f"{method.decoder}, {method.name}"
    seed = [config.seed, int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")]
    rng = np.random.default_rng(seed)
    if method.rule is None:
        return plain_decode(target, config.images, rng)
    if method.decoder == "draft":
        return speculative_decode(target, draft, config.images, method.rule, rng, config.drafts)
    if method.decoder == "local":
        grid = (SIDE // PATCH, SIDE // PATCH)
        return local_decode(target, draft, config.images, method.rule, rng, grid, method.radius)
    coupled = method.decoder == "coupled"
    return jacobi_decode(target, config.images, method.rule, rng, config.width, coupled)


def kept(method: Method, config: Config, pair: CodePair) -> Generated:
    """`draw`, from the disk if it was finished before with these weights and this source."""
    from spectheory.digits.weights import pinned

    key = repr((asdict(config), method, pinned("vq-"), source_digest("digits_vq", SOURCES)))
    path = KEPT / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.npz"
    if path.exists():
        with np.load(path) as saved:
            return Generated(**saved)
    done = draw(method, config, pair)
    KEPT.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{os.getpid()}.npz")
    np.savez(scratch, **done._asdict())
    scratch.replace(path)
    return done


def log_likelihood(tokens: np.ndarray, pair: CodePair) -> np.ndarray:
    """``(n,)`` nats a token under the target."""
    from spectheory.digits.vq_model import ImageLaws

    labels = np.arange(len(tokens)) % 10
    laws = ImageLaws(pair.target, labels).laws(tokens, np.arange(len(tokens)))
    mass = np.take_along_axis(laws, tokens[..., None], axis=-1)[..., 0]
    found: np.ndarray = np.log(mass).mean(axis=1)
    return found


def run(config: Config) -> polars.DataFrame:
    """One row a method.

    Columns: decoder, rule, lossless (claimed), tokens a target call with its standard error, draft
    calls an image, accepted drafts an image, z of the mean log-likelihood against plain images,
    and the Frechet distance to plain images with its permutation p-value.
    """
    import polars

    from spectheory.digits.data import TOKENS
    from spectheory.digits.frechet import features, frechet_test
    from spectheory.digits.vq_pair import load_code_pair

    pair = load_code_pair()
    listed = methods(config, pair.codebook)
    reference = kept(listed[0], config, pair)
    other = kept(Method("plain", None, "plain again"), config, pair)
    plain_features = features(pair.codebook[reference.tokens])
    plain = log_likelihood(reference.tokens, pair)
    rows = []
    with progress("methods", len(listed)) as bar:
        for done, method in enumerate(listed):
            made = other if method.rule is None else kept(method, config, pair)
            calls = made.target_calls
            likely = log_likelihood(made.tokens, pair)
            error = math.sqrt((likely.var() + plain.var()) / len(plain))
            test = frechet_test(
                features(pair.codebook[made.tokens]),
                plain_features,
                config.splits,
                np.random.default_rng(config.seed),
            )
            rows.append(
                {
                    "decoder": method.decoder,
                    "rule": method.name,
                    "lossless": method.lossless,
                    "tokens_per_call": made.tokens_per_call,
                    "error": TOKENS * calls.std() / calls.mean() ** 2 / math.sqrt(len(calls)),
                    "draft_calls": made.draft_calls.mean(),
                    "accepted": made.accepted.mean(),
                    "likelihood_z": (likely.mean() - plain.mean()) / error,
                    "frechet": test.distance,
                    "p_value": test.p_value,
                }
            )
            bar(done + 1)
    return polars.DataFrame(rows)


def markdown(table: polars.DataFrame, config: Config) -> str:
    """The table as it is committed."""
    lines = [
        f"{config.images} images a method, {config.drafts} drafts a round or {config.width} "
        f"guesses a window, seed {config.seed}. z compares the target's log-likelihood of the "
        "images with that of plain ones; the Frechet distance (principal components of pixels) is "
        f"to plain images, its p-value from {config.splits} permutations (conservative: all sets "
        "hold each digit equally often, which permuted sets do not). ±: one standard error.",
        "",
        "| decoder | rule | output law | tokens a call | draft calls | z | Frechet | p-value |",
        "|---|---|---|--:|--:|--:|--:|--:|",
    ]
    for row in table.iter_rows(named=True):
        law = "target" if row["lossless"] else "lossy"
        lines.append(
            f"| {row['decoder']} | {row['rule']} | {law} | {row['tokens_per_call']:.3f} "
            f"± {row['error']:.3f} | {row['draft_calls']:.1f} | {row['likelihood_z']:+.1f} "
            f"| {row['frechet']:.3f} | {row['p_value']:.3f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Train, or draw and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", nargs="?", choices=["train", "run"], default="run")
    parser.add_argument("--images", type=int, default=Config.images)
    options = parser.parse_args()
    torch_threads(1)  # matrices this small are slower on two
    if options.what == "train":
        from spectheory.digits.vq_pair import train_code_pair

        train_code_pair(KEPT, progress)
        return
    config = Config(images=options.images)
    table = run(config)
    save(table, "digits_vq", config, SHIPPED)
    text = markdown(table, config)
    TABLE.write_text(text, encoding="utf-8")
    print(text, end="")


if __name__ == "__main__":
    main()
