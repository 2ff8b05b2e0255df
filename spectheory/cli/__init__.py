"""The command line: one module a command, listed in `COMMANDS`.

Results go to standard output, everything else to standard error. Exit code 2 and one line for bad
input, 1 where something outside could not deliver (a download, a missing extra) or where an audit
found bias (2 for whatever kept that audit from a verdict), 130 on Ctrl-C.
"""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from spectheory.cli.arguments import Parser, UsageError
from spectheory.errors import (
    ChecksumMismatch,
    InputError,
    MissingDependency,
    ModelFailure,
    OptInNeeded,
    SourceUnavailable,
    out_of_memory,
)

COMMANDS = (
    "rules",
    "optimum",
    "compare",
    "overlap",
    "continuous",
    "audit",
    "zoo",
    "logits",
    "generate",
    "distil",
    "bench",
    "demo",
    "reproduce",
)
"""One module of this package each: ``configure(parser)`` and ``run(options)``, which may return an
exit code."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code.

    >>> main(["optimum", "no.npy", "no.npy"])
    2
    """
    name = "spectheory"
    try:
        with one_line_warnings():
            options = parser().parse_args(arguments)
            name = f"spectheory {options.command}"
            code = options.run(options) or 0
            sys.stdout.flush()
    except SystemExit as done:  # --help and --version
        return int(done.code or 0)
    except UsageError as error:
        return _fail(error.prog, error, 2)
    except (InputError, OptInNeeded) as error:
        return _fail(name, error, 2)
    except BrokenPipeError:  # the reader of our output has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _fail(name, f"{where}{error.strerror or error}", 2)
    except (SourceUnavailable, ChecksumMismatch, MissingDependency, ModelFailure) as error:
        return _fail(name, error, 1)
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        if not out_of_memory(error):
            raise
        return _fail(name, f"out of memory. {error}", 1)
    return int(code)


def parser() -> Parser:
    """The parser of all commands."""
    top = Parser(
        prog="spectheory",
        description="Speculative decoding: verification rules, their acceptance and the optimum.",
    )
    top.add_argument("--version", action=Parser.version_action())
    commands = top.add_subparsers(
        dest="command", required=True, metavar="COMMAND", parser_class=Parser
    )
    for name in COMMANDS:
        module = importlib.import_module(f"spectheory.cli.{name}")
        summary = (module.__doc__ or "").partition("\n")[0]
        command = commands.add_parser(name, help=summary, description=summary)
        module.configure(command)
        command.set_defaults(run=module.run)
    return top


@contextmanager
def one_line_warnings() -> Iterator[None]:
    """Show a warning as one line on standard error, without the source line that raised it."""

    def show(message: Warning | str, *_: object, **__: object) -> None:
        print(f"spectheory: warning: {_one_line(message)}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.showwarning = show  # restored by catch_warnings
        yield


def _fail(name: str, error: object, code: int) -> int:
    print(f"{name}: error: {_one_line(error)}", file=sys.stderr)
    return code


def _one_line(text: object) -> str:
    return " ".join(str(text).split())
