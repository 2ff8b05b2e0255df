"""Digits with a diffusion head: what aligning the noise is worth, and which rules keep the law.

``python -m sims.digits_diffusion train`` trains three pairs of target and draft (ten minutes of
one thread; goes on where it was killed) and pins the weights. ``python -m
sims.digits_diffusion`` measures acceptance on every noise floor and the Frechet distance of
speculative images, and writes its table and page into sims/tables; finished cells are kept in
out/digits_diffusion.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.stats import ks_2samp
from scipy.stats import t as student

from sims.runner import SHIPPED, save, source_digest
from spectheory.continuous.path_independent import IndependentPaths
from spectheory.continuous.path_published import CSpDPublished
from spectheory.continuous.path_reflection import StepwiseReflection
from spectheory.continuous.path_released import CSpDReleased
from spectheory.continuous.path_rule import PathRule
from spectheory.continuous.path_same import SamePath
from spectheory.continuous.path_shared_noise import SharedNoise
from spectheory.decoding.progress import progress
from spectheory.decoding.threads import torch_threads

if TYPE_CHECKING:
    import polars

    from spectheory.digits.diffusion_chain import Sampler
    from spectheory.digits.diffusion_decoding import Generated

KEPT = Path("out/digits_diffusion")
TABLE = SHIPPED / "digits_diffusion.md"
SOURCES = ("*.py", "continuous/*.py", "digits/*.py")
"""Parts of `spectheory` that cells are measured with."""


@dataclass(frozen=True)
class Config:
    """What to measure.

    Attributes:
        seeds: training seeds of the pairs.
        floors: standard deviations of the last denoising step.
        images: target images a seed and floor, for acceptance.
        drawn: images a method and seed, for the Frechet distance.
        floor: noise floor of those.
        block: drafts a round of those.
        permutations: of the Frechet test.
    """

    seeds: tuple[int, ...] = (0, 1, 2)
    floors: tuple[float, ...] = (0.02, 0.05, 0.1, 0.2, 0.4)
    images: int = 300
    drawn: int = 300
    floor: float = 0.2
    block: int = 4
    permutations: int = 999


TOKEN_RULES: tuple[PathRule, ...] = (
    SharedNoise(),
    SharedNoise(last=5),
    IndependentPaths(),
    SamePath(),
    StepwiseReflection(),
)


class Method(NamedTuple):
    """A way to draw images.

    Attributes:
        rule: path rule; None for a model alone.
        exact: whether its images have the target's law.
        temperature: of the draft. Away from 1 the variances of the two chains differ.
        truncate: see `generate`.
        draft: the draft alone.
    """

    rule: PathRule | None
    exact: bool
    temperature: float = 1.0
    truncate: bool = True
    draft: bool = False


METHODS: dict[str, Method] = {
    "target again": Method(None, True),
    "shared noise": Method(SharedNoise(), True),
    "independent paths": Method(IndependentPaths(), True),
    "same path": Method(SamePath(), True),
    "stepwise reflection": Method(StepwiseReflection(), True),
    "shared noise, draft at 1.05": Method(SharedNoise(), True, temperature=1.05),
    "CSpD as published, draft at 1.05": Method(CSpDPublished(), False, temperature=1.05),
    "shared noise, in place": Method(SharedNoise(), False, truncate=False),
    "CSpD as released": Method(CSpDReleased(), False, truncate=False),
    "draft alone": Method(None, False, draft=True),
}


def run(config: Config) -> polars.DataFrame:
    """`cells` as one table.

    Columns: seed, floor; quantity with its mean over images and standard error in ``value`` and
    ``error`` for the acceptances; method and what `images_cell` finds for the images.
    """
    import polars

    found = cells(config)
    parts = (
        polars.DataFrame(
            {"seed": row["seed"], "floor": row["floor"], "quantity": name,
             "value": of[0], "error": of[1]}
            for row in found["acceptance"]
            for name, of in row.items()
            if isinstance(of, list)
        ),
        polars.DataFrame(found["images"]).with_columns(floor=polars.lit(config.floor)),
    )  # fmt: skip
    return polars.concat(parts, how="diagonal")


def cells(config: Config, kept: Path = KEPT) -> dict[str, list[dict[str, Any]]]:
    """Rows of both tables: ``acceptance`` a seed and floor, ``images`` a seed and method."""
    wanted: dict[str, list[tuple[dict[str, Any], Callable[[], dict[str, Any]]]]] = {
        "acceptance": [
            ({"seed": seed, "floor": floor}, partial(acceptance_cell, seed, floor, config))
            for seed in config.seeds
            for floor in config.floors
        ],
        "images": [
            ({"seed": seed, "method": name}, partial(images_cell, seed, name, config))
            for seed in config.seeds
            for name in METHODS
        ],
    }
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in wanted}
    with progress("measuring", sum(map(len, wanted.values()))) as done:
        for table, rows in wanted.items():
            for key, compute in rows:
                found[table].append(key | remembered(kept, (table, key, asdict(config)), compute))
                done(sum(map(len, found.values())))
    return found


def acceptance_cell(seed: int, floor: float, config: Config) -> dict[str, Any]:
    """Mean acceptance of each rule on the target's own images, with standard errors."""
    from spectheory.digits.diffusion_decoding import plain
    from spectheory.digits.diffusion_measure import token_acceptance, token_distances

    target, draft = samplers(seed, floor)
    rng = np.random.default_rng([seed, round(1000 * floor)])
    labels = np.arange(config.images) % 10
    tokens = plain(target, labels, rng)
    rates = token_acceptance(target, draft, tokens, labels, TOKEN_RULES, rng)
    aligned, apart = token_distances(target, draft, tokens, labels, rng)
    columns = rates | {"aligned distance": aligned, "independent distance": apart}
    columns["gain"] = rates["shared_noise"] - rates["independent_paths"]
    return {
        name: [float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))]
        for name, values in columns.items()
    }


def images_cell(seed: int, name: str, config: Config) -> dict[str, Any]:
    """A method's images against the target's: Frechet distance, and law of the evidence gap."""
    from spectheory.digits.diffusion_measure import evidence_gap
    from spectheory.digits.frechet import features, frechet_test

    labels = np.arange(config.drawn) % 10
    reference = target_images(seed, config.floor, config.drawn)
    order = list(METHODS).index(name)
    made = draw(seed, METHODS[name], labels, config, np.random.default_rng([seed, 1, order]))
    tokens = made if isinstance(made, np.ndarray) else made.tokens
    test = frechet_test(
        features(tokens),
        features(reference),
        config.permutations,
        np.random.default_rng([seed, 2, order]),
    )
    judges = samplers(seed, config.floor)
    gaps = [
        evidence_gap(*judges, images, labels, np.random.default_rng([seed, 3, side * (order + 1)]))
        for side, images in enumerate((reference, tokens))
    ]
    found = {
        "distance": test.distance,
        "null": float(np.quantile(test.null, 0.95)),
        "p_value": test.p_value,
        "evidence": float(np.mean(gaps[1]) - np.mean(gaps[0])),
        "evidence_p": float(ks_2samp(*gaps).pvalue),
    }
    if not isinstance(made, np.ndarray):
        found |= {"acceptance": made.acceptance, "tokens": made.tokens_per_cycle}
    return found


@cache
def target_images(seed: int, floor: float, n: int) -> np.ndarray:
    """The images of the target that every method's are compared with."""
    from spectheory.digits.diffusion_decoding import plain

    target, _ = samplers(seed, floor)
    return plain(target, np.arange(n) % 10, np.random.default_rng([seed, 0]))


def draw(
    seed: int, method: Method, labels: np.ndarray, config: Config, rng: np.random.Generator
) -> Generated | np.ndarray:
    """Images of one method."""
    from spectheory.digits.diffusion_decoding import generate, plain

    target, draft = samplers(seed, config.floor, method.temperature)
    if method.rule is None:
        return plain(draft if method.draft else target, labels, rng)
    return generate(
        target, draft, labels, method.rule, rng, block=config.block, truncate=method.truncate
    )


def samplers(seed: int, floor: float, temperature: float = 1.0) -> tuple[Sampler, Sampler]:
    """Target, and draft at a temperature of its own, of one training seed."""
    from spectheory.digits.diffusion_chain import Sampler, Sampling
    from spectheory.digits.diffusion_pair import load_pair

    pair = load_pair(seed)
    # The last step keeps its floor, so that the factor of the variances is all that differs.
    tempered = Sampling(floor / temperature, temperature)
    return Sampler(pair.target, Sampling(floor)), Sampler(pair.draft, tempered)


def remembered(folder: Path, key: Any, compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The result of an earlier run with that key, these weights and this source, or a new one.

    It is kept whole.
    """
    from spectheory.digits.weights import pinned

    source = source_digest("digits_diffusion", SOURCES)
    what = json.dumps([key, pinned("diffusion-"), source], sort_keys=True)
    digest = hashlib.sha256(what.encode()).hexdigest()
    path = folder / f"{digest[:20]}.json"
    if path.exists():
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found
    result = compute()
    folder.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(".partial")
    scratch.write_text(json.dumps(result), encoding="utf-8")
    scratch.replace(path)
    return result


def over_seeds(values: list[float]) -> tuple[float, float]:
    """Mean over training seeds and half the width of its 95% Student interval."""
    spread = float(np.std(values, ddof=1) / np.sqrt(len(values)))
    return float(np.mean(values)), spread * float(student.ppf(0.975, len(values) - 1))


def markdown(tables: dict[str, list[dict[str, Any]]], config: Config) -> str:
    """Both tables as they are committed."""
    rules = [rule.key for rule in TOKEN_RULES]
    lines = [
        f"Acceptance probability of a drafted token, over all 16 positions of {config.images} "
        f"images of the target, on {len(config.seeds)} pairs trained from other seeds: mean and "
        "95% Student interval over seeds. The gain is shared noise less independent paths, with "
        "the least z-score over images of any seed.",
        "",
        f"| floor | {' | '.join(rules)} | gain | least z | distance, shared | independent |",
        "|--:|" + "--:|" * (len(rules) + 4),
    ]
    for floor in config.floors:
        rows = [row for row in tables["acceptance"] if row["floor"] == floor]

        def cell(name: str, rows: list[dict[str, Any]] = rows) -> str:
            mean, half = over_seeds([row[name][0] for row in rows])
            return f"{mean:.3f} ± {half:.3f}"

        least = min(row["gain"][0] / row["gain"][1] for row in rows)
        cells = [cell(rule) for rule in rules] + [cell("gain"), f"{least:.1f}"]
        cells += [cell("aligned distance"), cell("independent distance")]
        lines.append(f"| {floor} | {' | '.join(cells)} |")
    lines += [
        "",
        f"Frechet distance of {config.drawn} images to as many of the target, floor "
        f"{config.floor}, blocks of {config.block}; the null column is its 95% quantile when the "
        f"two sets are dealt at random ({config.permutations} permutations), which makes it large "
        "and p conservative: both sets hold each digit equally often, which dealt ones do not. "
        "Features: 24 principal components of the real digits' pixels. Evidence: how much better "
        "the target explains an image than the draft, in nats, less the same for the target's own "
        "images; its p-value by Kolmogorov-Smirnov. Each p is the seeds' least for methods with "
        "the target's law, and their greatest for lossy ones.",
        "",
        "| method | output law | acceptance | tokens a target pass | distance | null | p "
        "| evidence | p |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name, method in METHODS.items():
        rows = [row for row in tables["images"] if row["method"] == name]
        means = {
            key: f"{np.mean([row[key] for row in rows]):.3f}" if key in rows[0] else ""
            for key in ("acceptance", "tokens", "distance", "null", "evidence")
        }
        law = "target" if method.exact else "lossy"
        worst = min if method.exact else max  # for the claim in the second column
        p, evidence_p = (worst(row[key] for row in rows) for key in ("p_value", "evidence_p"))
        lines.append(
            f"| {name} | {law} | {means['acceptance']} | {means['tokens']} | {means['distance']} "
            f"| {means['null']} | {p:.3f} | {means['evidence']} | {evidence_p:.2g} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Train, or measure and write the tables."""
    parser = argparse.ArgumentParser(
        prog="python -m sims.digits_diffusion", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("what", nargs="?", choices=["train", "run"], default="run")
    parser.add_argument("--images", type=int, default=Config.images)
    parser.add_argument("--drawn", type=int, default=Config.drawn)
    options = parser.parse_args()
    torch_threads(1)  # the networks are too small to be shared out
    if options.what == "train":
        from spectheory.digits.diffusion_pair import SEEDS, train_pair

        for seed in SEEDS:
            train_pair(seed, KEPT, progress)
        return
    config = Config(images=options.images, drawn=options.drawn)
    save(run(config), "digits_diffusion", config, SHIPPED)
    text = markdown(cells(config), config)
    TABLE.write_text(text, encoding="utf-8")
    print(text, end="")


if __name__ == "__main__":
    main()
