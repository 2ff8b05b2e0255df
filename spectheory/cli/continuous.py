"""Draw digits speculatively with a diffusion model and compare the rules that verify its tokens.

``spectheory continuous demo`` runs a small trained target and draft end to end, saves the pictures
beside plain samples and prints what each rule accepts.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spectheory.cli.arguments import add_json, count, seed, several
from spectheory.cli.output import note, print_json, print_table

if TYPE_CHECKING:
    from spectheory.continuous.path_rule import PathRule
    from spectheory.digits.diffusion_chain import Sampler
    from spectheory.digits.diffusion_decoding import Generated

SHOWN = (
    "shared_noise",
    "independent_paths",
    "same_path",
    "stepwise_reflection",
    "cspd_published",
    "cspd_released",
)
RESAMPLES, PERMUTATIONS = 2000, 199
_IMAGES, _DEALS = 1, 2
"""What a stream is for: first words of seeds, since words of 0 at the end make no other stream."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("what", choices=["demo"], help="the digits model, end to end")
    parser.add_argument("--images", type=several, default=100, metavar="N", help="default 100")
    parser.add_argument(
        "--block", type=count, default=4, metavar="N", help="drafts a round (default 4)"
    )
    parser.add_argument(
        "--rules", type=_rules, metavar="KEY,KEY", help=f"default {','.join(SHOWN)}"
    )
    parser.add_argument("--prefill", type=seed, default=0, metavar="N", help="tokens, default 0")
    group = parser.add_argument_group("sampling parameters", "for target and draft alike")
    group.add_argument(
        "--floor", type=_positive, default=0.2, metavar="S", help="noise of the last step (0.2)"
    )
    group.add_argument(
        "--temperature", type=_positive, default=1.0, metavar="T", help="of every step (1)"
    )
    group.add_argument(
        "--guidance", type=float, default=1.0, metavar="W", help="towards the label; 1 is none"
    )
    parser.add_argument("--seed", type=seed, default=0, help="default 0")
    parser.add_argument("--out", type=Path, default=Path("out/continuous"), help="%(default)s")
    add_json(parser)


def run(options: argparse.Namespace) -> None:
    """Draw, measure, print, save the pictures."""
    from spectheory.cli.continuous_pictures import draw
    from spectheory.decoding.threads import torch_threads
    from spectheory.digits.data import TOKENS
    from spectheory.digits.diffusion_chain import Sampler, Sampling
    from spectheory.digits.diffusion_model import parameters
    from spectheory.digits.diffusion_pair import load_pair
    from spectheory.errors import InputError

    if options.prefill >= TOKENS:
        raise InputError(
            f"`--prefill` is {options.prefill}; expected less than the {TOKENS} tokens of an "
            "image, or no draft is left to test"
        )
    start = time.perf_counter()
    torch_threads(1)  # the networks are too small to be shared out
    sampling = Sampling(options.floor, options.temperature, options.guidance)
    pair = load_pair()
    target, draft = (Sampler(model, sampling) for model in pair)
    labels = np.arange(options.images) % 10
    plain, runs, alone = images(options, target, draft, labels)
    cost = parameters(pair.draft) / parameters(pair.target)
    rows = [measure(options, key, found, plain, labels, cost) for key, found in runs.items()]
    options.out.mkdir(parents=True, exist_ok=True)
    pictures = draw(
        options.out / "digits.png",
        {"target": plain} | {key: run.tokens for key, run in runs.items()} | {"draft": alone},
        {row["rule"]: f"{row['law']}, {100 * row['acceptance']:.0f}% accepted" for row in rows},
    )
    document = {
        "images": options.images,
        "block": options.block,
        "prefill": options.prefill,
        "floor": options.floor,
        "temperature": options.temperature,
        "guidance": options.guidance,
        "seed": options.seed,
        "cost": cost,
        "seconds": time.perf_counter() - start,
        "rules": rows,
        "pictures": str(pictures),
    }
    if options.json:
        print_json(document)
        return
    print_rows(options, rows, cost)
    note(f"pictures in {pictures}; {document['seconds']:.0f} s")


def images(
    options: argparse.Namespace, target: Sampler, draft: Sampler, labels: np.ndarray
) -> tuple[np.ndarray, dict[str, Generated], np.ndarray]:
    """Images of the target, of each rule and of the draft, each from a generator of its own."""
    from spectheory.decoding.progress import progress
    from spectheory.digits.data import TOKENS
    from spectheory.digits.diffusion_decoding import generate, plain

    made: dict[str, Generated] = {}
    rules = options.rules or _default_rules()
    whole = len(labels) * TOKENS
    with progress("drawing digits", whole * (len(rules) + 2)) as done:

        def part(amount: float) -> None:
            done(whole * (len(made) + begun) + amount)

        begun = 0
        first = plain(target, labels, np.random.default_rng([_IMAGES, options.seed, 0]), part)
        begun = 1
        for at, rule in enumerate(rules, start=1):
            made[rule.key] = generate(
                target,
                draft,
                labels,
                rule,
                np.random.default_rng([_IMAGES, options.seed, at]),
                block=options.block,
                prefill=options.prefill,
                truncate=rule.truncates,
                progress=part,
            )
        last = np.random.default_rng([_IMAGES, options.seed, len(rules) + 1])
        return first, made, plain(draft, labels, last, part)


def measure(
    options: argparse.Namespace,
    key: str,
    found: Generated,
    plain: np.ndarray,
    labels: np.ndarray,
    cost: float,
) -> dict[str, Any]:
    """One rule's row."""
    from spectheory.continuous.path_rule import path_rule
    from spectheory.cost.continuous import in_place_speed_up
    from spectheory.digits.diffusion_measure import share_interval
    from spectheory.digits.frechet import features, frechet_test

    rule = path_rule(key)
    acceptance, low, high = share_interval(
        found.accepted, found.tested, RESAMPLES, seed=options.seed
    )
    test = frechet_test(
        features(found.tokens),
        features(plain),
        PERMUTATIONS,
        np.random.default_rng([_DEALS, options.seed]),  # one and the same for every rule
        labels=labels,
    )
    # Both models have the schedule's variances.
    exact = rule.lossless or rule.exact_for_shared_variances
    causal = found.tokens_per_cycle / (1 + cost * options.block)
    return {
        "rule": key,
        "law": "law-lossless" if exact else "lossy",
        "acceptance": acceptance,
        "interval": [low, high],
        "tokens_per_target_pass": found.tokens_per_cycle,
        "redraws_per_token": float(found.proposals.sum() / found.made.sum()),
        "frechet": test.distance,
        "frechet_null": float(np.quantile(test.null, 0.95)),
        "speed_up": {
            "truncating": causal if rule.truncates else None,
            "in_place": in_place_speed_up(options.block, cost),
        },
    }


def print_rows(options: argparse.Namespace, rows: list[dict[str, Any]], cost: float) -> None:
    """The table for a person."""
    columns = (
        "rule",
        "output law",
        "acceptance",
        "95% interval",
        "tokens a target pass",
        "speed-up",
        "redraws a token",
        "Fréchet",
        "null 95%",
    )
    print_table(
        f"{options.images} digits, blocks of {options.block}, noise floor {options.floor:g}",
        columns,
        (
            (
                row["rule"],
                row["law"],
                f"{row['acceptance']:.3f}",
                f"{row['interval'][0]:.3f} to {row['interval'][1]:.3f}",
                f"{row['tokens_per_target_pass']:.2f}",
                f"{row['speed_up']['truncating'] or row['speed_up']['in_place']:.2f}",
                f"{row['redraws_per_token']:.2f}",
                f"{row['frechet']:.2f}",
                f"{row['frechet_null']:.2f}",
            )
            for row in rows
        ),
        numeric=columns[2:],
        caption=f"Acceptance: share of tested drafts that stand, resampled by image. Speed-up: a "
        f"draft step costs {cost:.3f} of a target step, as parameters go; in place, nothing is "
        f"dropped and every rule would get {rows[0]['speed_up']['in_place']:.2f}. Fréchet distance "
        "to the target's images on 24 principal components; null: two sets dealt at random, digit "
        "by digit. "
        "cspd_published is exact here, since both models have the schedule's variances; with "
        "learned ones it is not.",
    )


def _default_rules() -> tuple[PathRule, ...]:
    from spectheory.continuous.path_rule import path_rule

    return tuple(path_rule(key) for key in SHOWN)


def _rules(text: str) -> tuple[PathRule, ...]:
    from spectheory.continuous.path_rule import path_rule
    from spectheory.errors import UnknownName

    try:
        rules = tuple(path_rule(key) for key in text.split(","))
    except UnknownName as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if any(rule.needs_marginals for rule in rules):
        raise argparse.ArgumentTypeError("`marginal` needs densities of x_0 that no network has")
    return rules


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < np.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return value
