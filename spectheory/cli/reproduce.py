"""Redraw the papers' figures and say which of their numbers agree."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path
from typing import Any

from spectheory.cli.arguments import add_json
from spectheory.cli.output import note, print_json
from spectheory.errors import InputError, MissingDependency


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("names", nargs="*", metavar="NAME", help="figures, or all (default)")
    parser.add_argument("--list", action="store_true", help="list the figures, draw none")
    parser.add_argument(
        "--out", type=Path, default=Path("out"), help="folder (default %(default)s)"
    )
    parser.add_argument("--quick", action="store_true", help="smaller simulations")
    parser.add_argument(
        "--gallery", action="store_true", help="rewrite the gallery that comes with the source"
    )
    add_json(parser)


def run(options: argparse.Namespace) -> None:
    """Draw; a simulation runs only where no table for its configuration is at hand."""
    if options.list:
        found = {
            name: (module.__doc__ or "").partition("\n")[0]
            for name, module in _package("figures").figures().items()
        }
        if options.json:
            print_json(found)
        else:
            print("\n".join(f"{name}: {claim}" for name, claim in found.items()))
        return
    if options.gallery and (options.quick or options.names not in ([], ["all"])):
        raise InputError("`--gallery` holds every figure in full; drop --quick and the names")
    redraw = _package("figures._redraw").redraw
    document = []
    for drawn in redraw(options.names, options.out, options.quick, options.gallery):
        document.append(
            {"figure": str(drawn.path), "numbers": [_number(c) for c in drawn.compared]}
        )
        if not options.json:
            print(f"{drawn.path}: {drawn.numbers}")
    if options.json:
        print_json(document)
    if options.gallery:
        note("wrote figures/README.md")


def _number(compared: Any) -> dict[str, Any]:
    return {
        "name": compared.printed.name,
        "printed": compared.printed.printed,
        "here": float(compared.reproduced),
        "verdict": str(compared.verdict),
        "because": compared.because,
    }


def _package(name: str) -> Any:
    # By name: the figures stand above the command line and import its styles.
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingDependency(
            f"the figures need `{error.name}`: pip install 'spectheory[cli]', or run from the "
            "source tree"
        ) from error
