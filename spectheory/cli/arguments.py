"""Arguments that several commands share, and a parser whose errors are one line."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn


class UsageError(Exception):
    """The command line itself is wrong; ``prog`` is the command that says so."""

    def __init__(self, prog: str, message: str) -> None:
        super().__init__(message)
        self.prog = prog


class Parser(argparse.ArgumentParser):
    """An `argparse` parser that raises `UsageError` instead of printing its usage and leaving."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        raise UsageError(self.prog, f"{message} (see {self.prog} --help)")

    @staticmethod
    def version_action() -> type[argparse.Action]:
        """``--version``, looked up only when asked for."""

        class Version(argparse.Action):
            def __init__(self, option_strings: Sequence[str], dest: str, **_: Any) -> None:
                super().__init__(option_strings, dest, nargs=0, help="print the version")

            def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
                from spectheory import __version__

                print(f"spectheory {__version__}")
                parser.exit()

        return Version


def add_json(parser: argparse.ArgumentParser) -> None:
    """``--json``."""
    parser.add_argument("--json", action="store_true", help="print one JSON document, nothing else")


def add_pair(parser: argparse.ArgumentParser) -> None:
    """A target and a draft from files, how to read them, and the drafts' number and scheme."""
    from spectheory.drafting.scheme import schemes

    parser.add_argument(
        "target", type=Path, help=".npy file: probabilities of the target, (V,) or (n, V)"
    )
    parser.add_argument(
        "draft",
        type=Path,
        help=".npy file: the draft's, of the same shape; one law a slot, (k, V) or (n, k, V), for "
        "the heterogeneous scheme",
    )
    parser.add_argument("--k", type=count, required=True, help="number of drafts")
    parser.add_argument("--scheme", default="iid", help=f"one of {', '.join(schemes())}")
    parser.add_argument("--logits", action="store_true", help="the files hold logits")
    parser.add_argument(
        "--renormalise",
        action="store_true",
        help="divide each law by its sum, which must be within 1%% of 1. Without the flag float64 "
        "rows must sum to 1 within 1e-9; float32 rows within 1e-5, and those are widened to "
        "float64 and divided by their sum with a note",
    )
    add_sampling(parser)


def add_sampling(parser: argparse.ArgumentParser) -> None:
    """Temperature and truncations, which apply to target and draft alike."""
    group = parser.add_argument_group(
        "sampling parameters",
        "for target and draft alike: temperature first, then top-k, then top-p",
    )
    group.add_argument(
        "--temperature", type=temperature, default=1.0, metavar="T", help="default 1"
    )
    group.add_argument("--top-k", type=count, metavar="N", help="keep the N most probable tokens")
    group.add_argument(
        "--top-p", type=mass, metavar="P", help="keep the shortest top list of mass at least P"
    )


def add_threads(parser: argparse.ArgumentParser) -> None:
    """``--threads``, by default one a core and at most 8 (the work is bound by memory)."""
    parser.add_argument(
        "--threads",
        type=count,
        default=default_threads(),
        metavar="N",
        help="blocks of positions at once (default %(default)s; SPECTHEORY_THREADS sets it)",
    )


def default_threads() -> int:
    """``SPECTHEORY_THREADS``, else one a core this process may use, at most 8."""
    chosen = os.environ.get("SPECTHEORY_THREADS", "")
    if chosen.isdigit() and int(chosen) > 0:
        return int(chosen)
    usable = getattr(os, "sched_getaffinity", None)
    return min(8, len(usable(0)) if usable else os.cpu_count() or 1)


def count(text: str) -> int:
    """An integer of at least 1."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not an integer >= 1")
    return value


def several(text: str) -> int:
    """An integer of at least 2, as a standard error needs."""
    if count(text) < 2:
        raise argparse.ArgumentTypeError(f"{text!r} is not an integer >= 2")
    return count(text)


def seed(text: str) -> int:
    """An integer of at least 0."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not an integer >= 0")
    return int(text)


def temperature(text: str) -> float:
    """A finite number of at least 0."""
    value = _number(text)
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a finite number >= 0")
    return value


def mass(text: str) -> float:
    """A number in (0, 1]."""
    value = _number(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number in (0, 1]")
    return value


def rate(text: str) -> float:
    """A number in (0, 1)."""
    value = _number(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number in (0, 1)")
    return value


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
