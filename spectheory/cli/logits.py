"""Log next-token logits of a target and its drafts over given prompts."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spectheory.cli.arguments import add_json, count, seed
from spectheory.cli.output import print_json
from spectheory.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from spectheory.decoding.logged import LoggedLogits

PROMPT_SETS = "humaneval,mtbench"
TABULAR = "tabular"
"""A pair that needs no download: random Markov models, to try a command out in seconds."""

TABULAR_VOCABULARY = 48


@dataclass(frozen=True)
class Request:
    """What to log; the fields alone decide the logits.

    Attributes:
        pair: key of the model pair.
        prompts: keys of the prompt sets.
        prompt_texts: the user's own texts.
        limit: texts taken from each set.
        longest: tokens kept of each text.
        positions: rows to log.
        seed: where the even spread of the rows starts.
    """

    pair: str
    prompts: tuple[str, ...]
    prompt_texts: tuple[str, ...]
    limit: int
    longest: int
    positions: int
    seed: int

    @classmethod
    def of(cls, pair: str, options: argparse.Namespace) -> Request:
        """The request that the arguments of `add_prompts` describe."""
        texts = read_lines(options.prompt_file) if options.prompt_file else ()
        sets = options.prompts
        if sets is None:
            sets = "" if texts else PROMPT_SETS
        names = tuple(name.strip() for name in sets.split(",") if name.strip())
        if not names and not texts:
            raise InputError("no prompts: give --prompts, --prompt-file, or both")
        return cls(
            pair, names, texts, options.limit, options.longest, options.positions, options.seed
        )


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("pair", metavar="MODEL_PAIR", help="smollm2, qwen2.5 or tabular (random)")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.npz")
    parser.add_argument("--seed", type=seed, default=0, help="default 0")
    add_prompts(parser)
    add_json(parser)


def add_prompts(parser: argparse.ArgumentParser) -> None:
    """Which texts and positions to log, and whether unofficial weights may be used."""
    parser.add_argument(
        "--prompts",
        metavar="SETS",
        help=f"prompt sets, comma-separated (default {PROMPT_SETS}, or none with --prompt-file)",
    )
    parser.add_argument(
        "--prompt-file", type=Path, metavar="FILE", help="a text file, one prompt a line"
    )
    parser.add_argument(
        "--limit", type=count, default=10, metavar="N", help="texts a set (default %(default)s)"
    )
    parser.add_argument(
        "--longest",
        type=count,
        default=128,
        metavar="N",
        help="tokens kept of a text (default %(default)s)",
    )
    parser.add_argument(
        "--positions",
        type=count,
        default=200,
        metavar="N",
        help="positions, spread evenly over the texts (default %(default)s)",
    )
    parser.add_argument(
        "--allow-unofficial",
        action="store_true",
        help="also use weights that only an unofficial copy offers",
    )


def run(options: argparse.Namespace) -> None:
    """Log and save."""
    if options.out.suffix != ".npz":
        raise InputError(f"`--out` is {options.out}; expected a name that ends in .npz")
    if not options.out.parent.is_dir():
        raise InputError(f"`--out` is {options.out}; there is no folder {options.out.parent}")
    logged = collect(Request.of(options.pair, options), options.allow_unofficial)
    path = logged.save(options.out)
    document = {
        "file": str(path),
        "positions": len(logged.target),
        "vocab_size": int(logged.target.shape[-1]),
        "drafts": list(logged.drafts),
        "meta": logged.meta,
    }
    if options.json:
        print_json(document)
    else:
        drafts = ", ".join(logged.drafts)
        print(
            f"{path}: {len(logged.target)} positions over {logged.target.shape[-1]:,} tokens; "
            f"target {logged.meta['target']}, drafts {drafts}"
        )


def collect(request: Request, allow_unofficial: bool = False) -> LoggedLogits:
    """Run the models; what they print on standard output goes to standard error."""
    from spectheory.decoding.logged import logged_logits

    with contextlib.redirect_stdout(sys.stderr):
        target, drafts = builders(request, allow_unofficial)
        return logged_logits(
            target,
            drafts,
            texts_of(request),
            request.positions,
            request.seed,
            longest=request.longest,
        )


def draft_names(pair: str) -> list[str]:
    """The drafts of a pair; nothing is loaded.

    Raises:
        UnknownName: no such pair.
    """
    if pair == TABULAR:
        return ["order:1", "order:0"]
    from spectheory.decoding.pairs import pair as registered

    return list(registered(pair).drafts)


def builders(request: Request, allow_unofficial: bool) -> tuple[Any, Mapping[str, Any]]:
    """The target, and the drafts by name; each a model or a function that builds one."""
    if request.pair == TABULAR:
        return _tabular()
    from spectheory.decoding.pairs import pair as registered

    found = registered(request.pair, allow_unofficial=allow_unofficial)
    return found.target, found.drafts


def texts_of(request: Request) -> Sequence[Any]:
    """The texts of the prompt sets, then the user's own."""
    if request.pair == TABULAR:
        import numpy as np

        rng = np.random.default_rng(request.seed)
        return [rng.integers(0, TABULAR_VOCABULARY, 64) for _ in range(request.limit)]
    from spectheory.decoding.prompts import prompts

    sets = [text for name in request.prompts for text in prompts(name, request.limit)]
    return [*sets, *request.prompt_texts]


def read_lines(path: Path) -> tuple[str, ...]:
    """The lines of a text file that are not blank.

    Raises:
        InputError: no such file, not UTF-8, or nothing in it.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InputError(f"`--prompt-file` {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"`--prompt-file` {path} is not UTF-8 text") from error
    texts = tuple(line for line in lines if line.strip())
    if not texts:
        raise InputError(f"`--prompt-file` {path} holds no text")
    return texts


def _tabular() -> tuple[Any, Mapping[str, Any]]:
    """An order-1 target; one draft is a blurred copy of it, the other knows no context."""
    import numpy as np

    from spectheory.decoding.tabular import TabularModel

    size = TABULAR_VOCABULARY
    rng = np.random.default_rng(0)
    flat = np.full(size, 1 / size)
    after = rng.dirichlet(np.full(size, 0.3), size=size)
    blurred = _rows(0.6 * after + 0.4 * rng.dirichlet(np.full(size, 1.0), size=size))
    unconditional = _rows(0.8 * after.mean(axis=0) + 0.2 * flat)
    target = TabularModel([flat, _rows(after + 1e-4)], name=TABULAR)
    drafts: dict[str, Callable[[], TabularModel]] = {
        "order:1": lambda: TabularModel([flat, blurred], name="order:1"),
        "order:0": lambda: TabularModel([unconditional], name="order:0"),
    }
    return target, drafts


def _rows(mass: np.ndarray) -> np.ndarray:
    rows: np.ndarray = mass / mass.sum(axis=-1, keepdims=True)
    return rows
