"""Continue a text with speculative decoding, token by token as it is verified."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spectheory.cli.arguments import add_json, add_sampling, count, seed, temperature
from spectheory.cli.output import note, print_json
from spectheory.errors import InputError

if TYPE_CHECKING:
    from spectheory.decoding.decoder import Decoder, Request
    from spectheory.decoding.transformer import TransformerModel
    from spectheory.decoding.verifier import Verifier


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    from spectheory.decoding.drafts import SPELLINGS

    parser.add_argument("prompt", nargs="?", help="the text to continue; - reads standard input")
    parser.add_argument("--prompt-file", type=Path, metavar="FILE", help="or a file that holds it")
    parser.add_argument(
        "--chat", action="store_true", help="put the text into the model's chat template"
    )
    parser.add_argument("--new-tokens", type=count, default=128, metavar="N", help="default 128")
    parser.add_argument("--seed", type=seed, default=0, help="default 0")
    add_models(parser)
    parser.add_argument("--draft", default="ngram:4", help=f"{SPELLINGS} (default %(default)s)")
    parser.add_argument("--rule", default="rejection", help="a rule's key, or block")
    add_executor(parser)
    parser.add_argument("--scheme", default="iid", help="how drafts are drawn (default iid)")
    parser.add_argument(
        "--length", type=count, default=2, metavar="L", help="drafts in a row (default 2)"
    )
    parser.add_argument(
        "--k", type=count, default=1, metavar="K", help="sequences drafted together (default 1)"
    )
    parser.add_argument(
        "--draft-temperature",
        type=temperature,
        metavar="T",
        help="default: the target's; 1 where k > 1 and that is 0, since all drafts would be one",
    )
    add_sampling(parser)
    add_json(parser)


def add_models(parser: argparse.ArgumentParser) -> None:
    """The target, and where and how it runs."""
    parser.add_argument(
        "--target", default="smollm2", help="a registered, hub or local model (default %(default)s)"
    )
    parser.add_argument("--device", help="torch device; CUDA if there is one")
    parser.add_argument("--dtype", help="torch dtype; float32 on CPU, bfloat16 on CUDA")
    parser.add_argument(
        "--library-kernels",
        action="store_true",
        help="on CPU: only torch's own matrix kernels, which make short passes dear",
    )
    parser.add_argument(
        "--allow-unofficial",
        action="store_true",
        help="also use weights that only an unofficial copy offers",
    )


def add_executor(parser: argparse.ArgumentParser) -> None:
    """``--executor``."""
    from spectheory.decoding.executors import EXECUTORS

    parser.add_argument(
        "--executor",
        choices=EXECUTORS,
        default="auto",
        help="what runs the rule: its NumPy definition, the batched one in torch, or Triton "
        "kernels (rejection and optimal_iid, on CUDA); auto takes the batched one where the rule "
        "has it",
    )


def run(options: argparse.Namespace) -> None:
    """Print the continuation as it grows, or one document at the end."""
    from spectheory.decoding.decoder import Decoder, Request
    from spectheory.decoding.drafts import draft_source
    from spectheory.decoding.executors import verifier_for
    from spectheory.decoding.sampling import Sampling
    from spectheory.drafting.scheme import scheme

    text = read_prompt(options)
    branching = () if options.draft == "none" else (options.k, *(1,) * (options.length - 1))
    # Refused before a model is read.
    verifier_for(verifier(options.rule), None, options.executor).check(
        scheme(options.scheme), branching
    )
    target = load_target(options)
    source = draft_source(options.draft, target, allow_unofficial=options.allow_unofficial)
    decoder = Decoder(
        target,
        source,
        scheme=options.scheme,
        rule=verifier(options.rule),
        branching=branching,
        executor=options.executor,
    )
    if not decoder.verifier.lossless:
        note(f"rule `{options.rule}` is lossy: the text does not follow the target's law")
    sampling = Sampling(options.temperature, options.top_k, options.top_p)
    drawn_at = options.draft_temperature
    if drawn_at is None:
        drawn_at = options.temperature or (1.0 if options.k > 1 else 0.0)
    request = Request(
        target.chat(text) if options.chat else target.encode(text),
        options.new_tokens,
        options.seed,
        sampling,
        Sampling(drawn_at, options.top_k, options.top_p),
        target.end_tokens,
    )
    start = time.perf_counter()
    tokens, finish = _stream(decoder, target, request, shown=not options.json)
    seconds = time.perf_counter() - start
    seen = decoder.statistics
    if options.json:
        print_json(
            {
                "text": target.decode(tokens),
                "tokens": tokens,
                "finish": finish,
                "verifier": decoder.verifier.name,
                "law_lossless": decoder.verifier.lossless,
                "seconds": seconds,
                "tokens_per_second": len(tokens) / seconds,
                "tokens_per_call": seen.tokens_per_call,
                "accepted_lengths": {str(n): seen.lengths[n] for n in sorted(seen.lengths)},
                "conditional_acceptance": seen.conditional_acceptance(),
                "seconds_by_phase": dict(seen.seconds),
            }
        )
        return
    note(
        f"{len(tokens)} tokens in {seconds:.2f} s ({len(tokens) / seconds:.1f} a second), "
        f"{seen.tokens_per_call:.2f} a pass of {target.name}; ended by {finish}"
    )


def read_prompt(options: argparse.Namespace) -> str:
    """The text of the prompt.

    Raises:
        InputError: none, both, or an empty one.
    """
    if (options.prompt is None) == (options.prompt_file is None):
        raise InputError("give a prompt or --prompt-file, one of them")
    try:
        if options.prompt_file is not None:
            source = f"`--prompt-file` {options.prompt_file}"
            text = str(options.prompt_file.read_text(encoding="utf-8"))
        else:
            source = "`prompt`, standard input,"
            text = sys.stdin.read() if options.prompt == "-" else str(options.prompt)
    except UnicodeDecodeError as error:
        raise InputError(f"{source} is not {error.encoding.upper()} text") from error
    if not text:
        raise InputError("`prompt` is empty; a model needs at least one token to continue from")
    return text


def load_target(options: argparse.Namespace) -> TransformerModel:
    """The target that the arguments of `add_models` name.

    Raises:
        InputError: a device or dtype that torch does not have.
    """
    from spectheory.decoding.registry import load

    check_device(options.device, options.dtype)
    target = load(
        options.target,
        allow_unofficial=options.allow_unofficial,
        device=options.device,
        dtype=options.dtype,
    )
    if not options.library_kernels:
        target.speed_up()
    return target


def check_device(device: str | None, dtype: str | None) -> None:
    """Refuse what torch cannot run on, before a model is read.

    Raises:
        InputError: no such device or dtype, or CUDA without a GPU.
        MissingDependency: torch is not installed.
    """
    from spectheory.errors import MissingDependency

    try:
        import torch
    except ImportError as error:
        raise MissingDependency(
            "`torch` is not installed; running a model needs `pip install 'spectheory[models]'`"
        ) from error
    if dtype is not None and dtype not in ("float32", "bfloat16", "float16", "float64"):
        raise InputError(f"`--dtype` is {dtype!r}; expected float32, bfloat16, float16 or float64")
    if device is None:
        return
    try:
        kind = torch.device(device).type
    except RuntimeError as error:
        raise InputError(f"`--device` is {device!r}, which is no torch device") from error
    if kind == "cuda" and not torch.cuda.is_available():
        raise InputError(f"`--device` is {device!r}, but torch finds no CUDA GPU here")


def verifier(name: str) -> str | Verifier:
    """A rule's key, or block verification."""
    from spectheory.decoding.verifier import Block

    return Block() if name == "block" else name


def _stream(
    decoder: Decoder, target: TransformerModel, request: Request, shown: bool
) -> tuple[list[int], str]:
    """Decode, writing the text as it grows; a cut keeps what was written readable."""
    tokens: list[int] = []
    finish, written = "", ""
    try:
        for emission in decoder.stream([request]):
            tokens += emission.tokens
            finish = emission.finish or finish
            if shown:
                written = _write(target, tokens, written, last=bool(emission.finish))
    finally:
        if shown and tokens:
            print(flush=True)
    return tokens, finish


def _write(target: Any, tokens: list[int], written: str, last: bool) -> str:
    """Write what is new; a character whose bytes are not all there yet waits.

    The decoding of a tail may change with what follows, when some of it is written already: then
    the text goes on from where the two part.
    """
    text = target.decode(tokens)
    stable = text if last else text.rstrip("\ufffd")
    if written.startswith(stable):
        return written
    start = len(written)
    while not stable.startswith(written[:start]):
        start -= 1
    print(stable[start:], end="", flush=True)
    return stable
