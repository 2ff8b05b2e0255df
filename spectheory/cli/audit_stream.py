"""The part of `spectheory audit` that reads a record of emitted tokens."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from spectheory.cli.audit import finish, not_as_claimed
from spectheory.cli.output import note
from spectheory.errors import InputError, ModelFailure

if TYPE_CHECKING:
    import numpy as np

    from spectheory.audit.stream_file import Forcing


def run_stream(options: argparse.Namespace) -> int:
    """Audit a record to its end; returns the exit code."""
    from spectheory.audit.sampler import source_digest
    from spectheory.audit.stream import MOST_DRAFTS
    from spectheory.audit.stream_run import audit_stream
    from spectheory.decoding.progress import progress

    check_options(options)
    if not options.stream.is_file():
        raise InputError(f"`--stream` {options.stream}: no such file")
    forcing = None if options.model is None else model(options.model)
    settings = {name: getattr(options, name) for name in ("model", "temperature", "top_k", "top_p")}
    if ":" in (options.model or ""):
        settings["source"] = source_digest(options.model)
    report, interrupted = None, False
    try:
        with progress("steps", line_count(options.stream)) as show:
            for report in audit_stream(
                options.stream,
                options.alpha,
                model=forcing,
                process=lambda laws: sampled(laws, options),
                state=options.resume,
                about="" if forcing is None else json.dumps(settings),
                most_drafts=options.most_drafts or MOST_DRAFTS,
            ):
                show(report.steps)
    except KeyboardInterrupt:
        interrupted = True
    except (InputError, ModelFailure) as error:
        if report is not None and not_as_claimed(report):
            note(f"stopped: {error}; this is the verdict so far")
        else:
            raise
    if report is None:
        raise KeyboardInterrupt
    cut = options.temperature == 0 or options.top_k is not None or options.top_p is not None
    if forcing is not None and cut and report.impossible:
        note(
            "a token that the model's own temperature, top-k or top-p just leaves out may be one "
            "that the engine kept, by the rounding of another forward pass"
        )
    about = {"stream": str(options.stream), "model": options.model}
    return finish(report, about, options, interrupted)


def check_options(options: argparse.Namespace) -> None:
    """Refuse options that an audit of a record would not read."""
    for name in ("target", "draft", "acceptance", "max_draws", "seed", "logits", "renormalise"):
        if getattr(options, name) is not None and getattr(options, name) is not False:
            raise InputError(
                f"{flag(name)} goes with a sampler; a record carries its own laws and draws"
            )
    sampling = {"temperature": 1.0, "top_k": None, "top_p": None}
    for name, default in sampling.items():
        if options.model is None and getattr(options, name) != default:
            raise InputError(
                f"{flag(name)} applies to the laws of a --model; those that a record carries are "
                "read as they are"
            )


def flag(name: str) -> str:
    """How an option is spelt on the command line."""
    return f"--{name.replace('_', '-')}"


def line_count(path: Path) -> int:
    """Lines of a file, without holding it."""
    with open(path, "rb") as file:
        return sum(1 for _ in file)


def model(name: str) -> Forcing:
    """The model of a registry key, a folder, or ``PKG.MODULE:OBJECT``.

    Raises:
        InputError: the object named is no model.
        UnknownName, SourceUnavailable, MissingDependency: the model cannot be had.
    """
    from spectheory.audit.sampler import load_object

    if ":" not in name:
        from spectheory.decoding.registry import load

        return load(name)
    found = load_object(name)
    if not (hasattr(found, "vocab_size") and callable(getattr(found, "logits", None))):
        raise InputError(
            f"`--model` {name} is a {type(found).__name__}; expected an object with `vocab_size` "
            "and `logits(tokens)`"
        )
    forcing: Forcing = found
    return forcing


def sampled(laws: np.ndarray, options: argparse.Namespace) -> np.ndarray:
    """What the sampling parameters make of a model's laws: temperature, then top-k, then top-p."""
    from spectheory.distributions import temper, top_k, top_p

    laws = temper(laws, options.temperature)
    if options.top_k is not None:
        laws = top_k(laws, options.top_k)
    return laws if options.top_p is None else top_p(laws, options.top_p)
