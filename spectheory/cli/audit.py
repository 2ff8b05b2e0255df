"""Audit a sampler: is its output law the target's? Exit code 0: no evidence, 1: bias, 2: error."""

from __future__ import annotations

import argparse
import traceback
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spectheory.cli.arguments import add_json, add_sampling, count, mass, rate, seed
from spectheory.cli.output import foreign_output, note, print_json
from spectheory.errors import (
    ChecksumMismatch,
    InputError,
    MissingDependency,
    ModelFailure,
    SourceUnavailable,
    out_of_memory,
)

if TYPE_CHECKING:
    from spectheory.audit.report import AuditReport
    from spectheory.audit.run import Job
    from spectheory.audit.sampler import Sampler
    from spectheory.audit.stream_report import StreamReport

INTERRUPTED = 130

ENGINE = "engine"

MAX_DRAWS = 1_000_000


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "sampler",
        nargs="?",
        metavar="PKG:OBJECT",
        help="callable sampler(target, draft, n, seed) that returns n tokens, or (tokens, "
        "accepted); PKG.MODULE:OBJECT or path/file.py:OBJECT; or engine:KEY, a public engine that "
        "spectheory.adapters knows",
    )
    parser.add_argument(
        "--target",
        type=Path,
        metavar="P.npy",
        help="probabilities, (V,) or (m, V) for m positions, which take turns",
    )
    parser.add_argument("--draft", type=Path, metavar="Q.npy", help="the draft's, same shape")
    parser.add_argument(
        "--stream",
        type=Path,
        metavar="FILE.jsonl",
        help="in place of a sampler: a record of emitted tokens, one verification step a line (see "
        "spectheory.audit.stream_file)",
    )
    parser.add_argument(
        "--model",
        metavar="M",
        help="with --stream: computes the target's laws where the file does not carry them, and "
        "the sampling parameters apply to these alone; a registered model, a folder, or "
        "PKG.MODULE:OBJECT with vocab_size and logits(tokens)",
    )
    parser.add_argument(
        "--most-drafts",
        type=count,
        metavar="N",
        help="with --stream: the most that the engine ever drafts in a step (default 16); read "
        "only where the lines tell how many tokens are expected",
    )
    parser.add_argument(
        "--alpha", type=rate, default=1e-3, help="false-alarm rate (default %(default)s)"
    )
    parser.add_argument(
        "--max-draws",
        type=count,
        metavar="N",
        help=f"of a sampler, one a position at least (default {MAX_DRAWS})",
    )
    parser.add_argument("--seed", type=seed, help="of all draws of a sampler (default 0)")
    parser.add_argument(
        "--acceptance",
        type=acceptance,
        metavar="P",
        help="how often the rule accepts a draft, or `any`; default 1 - TV(target, draft), that "
        "of rejection sampling with one draft. Tested if the sampler tells which were accepted",
    )
    parser.add_argument("--logits", action="store_true", help="the files hold logits")
    parser.add_argument(
        "--renormalise", action="store_true", help="divide each law by its sum, if within 1%% of 1"
    )
    add_sampling(parser)
    parser.add_argument(
        "--resume",
        type=Path,
        metavar="FILE",
        help="save the state there after every chunk, and continue from it if it is there",
    )
    parser.add_argument(
        "--report", type=Path, metavar="FILE", help="also write a report, .html or .md, with plots"
    )
    parser.add_argument(
        "--plan",
        type=mass,
        metavar="BIAS",
        help="draw nothing: say how many draws see a bias of this total variation, by direction",
    )
    parser.add_argument(
        "--power",
        type=rate,
        default=0.8,
        metavar="P",
        help="with --plan: how surely (default %(default)s)",
    )
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Audit, print what was found; returns the exit code.

    1 says that something is not as claimed: the tokens' law, or the acceptance or the tokens a step
    where these are told. Nothing else is 1.
    """
    try:
        return chosen(options)
    except (InputError, OSError):
        raise
    except (SourceUnavailable, ChecksumMismatch, ImportError, ModelFailure) as error:
        raise InputError(str(error) or type(error).__name__) from error
    except (Exception, SystemExit) as error:  # an exit of a model must not pass for the audit's own
        if out_of_memory(error):
            raise InputError(f"out of memory. {error}") from error
        traceback.print_exception(error)
        return 2


def chosen(options: argparse.Namespace) -> int:
    """Plan, or audit what is to be audited; returns the exit code."""
    if options.plan is not None:
        from spectheory.cli.audit_plan import run_plan

        return run_plan(options)
    if options.report:
        check_report_name(options.report)
    if (options.stream is None) == (options.sampler is None):
        raise InputError("give a sampler to draw from, or --stream with a record; not both")
    from spectheory.cli.audit_stream import run_stream

    return run_sampler(options) if options.stream is None else run_stream(options)


def run_sampler(options: argparse.Namespace) -> int:
    """Draw from a sampler until it is found out, or the draws are used up."""
    from spectheory.audit.run import audit_steps
    from spectheory.decoding.progress import progress

    if options.target is None:
        raise InputError("a sampler needs --target P.npy")
    if options.model is not None:
        raise InputError("--model goes with --stream; a sampler is told its law by --target")
    if options.most_drafts is not None:
        raise InputError("--most-drafts goes with --stream; a sampler draws one token at a time")
    work = job(options)
    with foreign_output():
        sampler = named_sampler(options.sampler)
        work = replace(work, sampler=identity(options.sampler))
    report, interrupted = None, False
    try:
        with progress("draws", work.max_draws) as show, foreign_output():
            for report in audit_steps(sampler, work, options.resume):
                show(report.draws)
    except KeyboardInterrupt:
        interrupted = True
    if report is None:
        raise KeyboardInterrupt
    about = {"sampler": options.sampler, "seed": work.seed, "max_draws": work.max_draws}
    return finish(report, about, options, interrupted)


def named_sampler(name: str) -> Sampler:
    """The callable that ``PKG.MODULE:OBJECT`` or ``path/file.py:OBJECT`` names, or an engine's.

    Raises:
        InputError: no such module, file, object or engine, or it cannot be called.
        MissingDependency: the engine is not installed.
    """
    from spectheory.adapters.engine import engine
    from spectheory.audit.sampler import load_sampler

    kind, _, key = name.partition(":")
    if kind != ENGINE:
        return load_sampler(name)
    found = engine(key)
    found.version()
    return found


def identity(name: str) -> str:
    """A sampler's name, with its engine's version or a digest of its file."""
    from spectheory.adapters.engine import engine
    from spectheory.audit.sampler import source_digest

    kind, _, key = name.partition(":")
    return f"{name} {engine(key).version() if kind == ENGINE else source_digest(name)}"


def finish(
    report: AuditReport | StreamReport,
    about: dict[str, Any],
    options: argparse.Namespace,
    interrupted: bool,
) -> int:
    """Print a report, and write its page if one is wanted; returns the exit code."""
    code = 1 if not_as_claimed(report) else INTERRUPTED if interrupted else 0
    if interrupted:
        note("interrupted; this is the verdict so far")
    if options.report:
        note(page(report, options, code))
    if options.json:
        print_json(about | report.to_dict() | {"interrupted": interrupted})
    else:
        print(report)
    return code


def page(report: AuditReport | StreamReport, options: argparse.Namespace, code: int) -> str:
    """Write the page; returns what to say of it.

    A page that cannot be written is an error, but must not hide that something is not as claimed.
    """
    from spectheory.cli.audit_report import Page, write_report

    name = options.sampler if options.stream is None else options.stream.name
    try:
        write_report(options.report, Page.of(report, f"Audit of {name}"))
    except (InputError, MissingDependency) as error:
        if code != 1:
            raise
        return str(error)
    return f"report in {options.report}"


def not_as_claimed(report: AuditReport | StreamReport) -> bool:
    """Whether something is not as claimed."""
    from spectheory.audit.stream_report import StreamReport

    return report.biased or (isinstance(report, StreamReport) and report.length_off)


def job(options: argparse.Namespace) -> Job:
    """The laws and limits that the arguments describe."""
    from spectheory.audit.run import Job
    from spectheory.cli.inputs import as_law, load_array
    from spectheory.distributions import check_same_vocabulary

    target = as_law("target", load_array("target", options.target), options)
    draft = None
    if options.draft:
        draft = as_law("draft", load_array("draft", options.draft), options)
        check_same_vocabulary(target, draft)
    tested = options.acceptance != "any"
    return Job(
        target,
        draft,
        alpha=options.alpha,
        max_draws=options.max_draws or MAX_DRAWS,
        seed=options.seed or 0,
        acceptance=options.acceptance if tested else None,
        test_acceptance=tested,
        sampler=options.sampler or "",
    )


def check_report_name(path: Path) -> None:
    """Refuse a report that could not be written, before any draw is made."""
    if path.suffix not in (".html", ".md"):
        raise InputError(f"`--report` {path}: expected a name ending in .html or .md")
    if not path.absolute().parent.is_dir():
        raise InputError(f"`--report` {path}: no such folder")
    if find_spec("matplotlib") is None:
        raise InputError("`--report` needs `matplotlib`: pip install 'spectheory[cli]'")


def acceptance(text: str) -> float | str:
    """A probability, or ``any``."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if text == "any":
        return text
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a probability nor `any`")
    return value
