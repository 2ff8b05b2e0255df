"""What verification adds to a step of the decoder on CPU, by rule and by executor.

``python -m sims.decode_verification`` decodes text with SmolLM2 and an early exit of it. At each
step all verifiers rule on the same drafts and logits, the definition and the batched executor in
turns, and what they took is set beside the target's pass of that step. Times are the thread's own
processor time, which other work on the machine does not stretch. The table goes to
sims/tables/decode_verification.md.
"""

from __future__ import annotations

import argparse
import itertools
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from spectheory.cli.machine import processor
from spectheory.decoding.decoder import Decoder, Request
from spectheory.decoding.draft_source import ModelDraft
from spectheory.decoding.executors import verifier_for
from spectheory.decoding.sampling import Sampling
from spectheory.decoding.verifier import Drafted, Outcome, Verifier

TABLE = Path(__file__).parent / "tables" / "decode_verification.md"
TEXT = "The theory of speculative decoding asks how many tokens one pass of a model can settle. "
COMPARED = ("definition", "batched")
RULES = {
    "iid": ("rejection", "grouped", "k_seq", "recursive", "optimal_iid"),
    "without_replacement": ("recursive_without_replacement",),
    "greedy": ("greedy_optimal",),
}
"""By the scheme that drafts are drawn by."""
OF_ONE_DRAFT = ("rejection", "grouped")


@dataclass(frozen=True)
class Config:
    """What is timed.

    Attributes:
        model: key in the registry.
        exit: layer at which the draft leaves the target.
        counts: drafts a position; each is followed by chains of ``length`` tokens.
        length: levels of the tree.
        batches: requests decoded at once.
        samplings: of target and draft.
        steps: steps of the decoder by batch size.
    """

    model: str = "smollm2"
    exit: int = 24
    counts: tuple[int, ...] = (1, 2, 4)
    length: int = 2
    batches: tuple[int, ...] = (1, 8)
    samplings: tuple[Sampling, ...] = (
        Sampling(),
        Sampling(0.7, top_p=0.9),
        Sampling(0.7, top_k=50),
        Sampling(0),
    )
    steps: int = 10


@dataclass
class Timed:
    """The target, with the processor seconds of its passes."""

    model: Any
    seconds: list[float] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def session(self, texts: int) -> Any:
        """See `DecodableModel.session`."""
        session = self.model.session(texts)
        session.extend = _timed(session.extend, self.seconds)
        return session


@dataclass
class Turns:
    """A verifier that lets all others rule on each step, and goes on by the first of them."""

    others: dict[tuple[str, str], Verifier]
    seconds: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    name: str = "in turns"
    lossless: bool = True

    def check(self, scheme: Any, branching: Sequence[int]) -> None:
        """See `Verifier.check`."""
        for verifier in self.others.values():
            verifier.check(scheme, branching)

    def __call__(self, batch: Sequence[Drafted]) -> list[Outcome]:
        """See `Verifier.__call__`."""
        found = []
        for key, verifier in self.others.items():
            found.append(_timed(verifier, self.seconds.setdefault(key, []))(batch))
        return found[0]


def measure(
    config: Config, target: Any, scheme: str, k: int, batch: int, sampling: Sampling
) -> list[str]:
    """Rows of the table for one setting.

    None for one draft of the other schemes, which is an i.i.d. one, nor for drafts without
    replacement from laws cut short, which may hold fewer than k tokens.
    """
    if scheme != "iid" and k == 1:
        return []
    if scheme == "without_replacement" and sampling != Sampling():
        return []
    timed, rules = Timed(target), [r for r in RULES[scheme] if k == 1 or r not in OF_ONE_DRAFT]
    verifiers = {(r, e): verifier_for(r, target, e) for r in rules for e in COMPARED}
    text = target.encode(TEXT * 4)
    requests = [Request(text[b:], 10_000, seed=b, sampling=sampling) for b in range(batch)]
    taken: list[float] = []
    turns = Turns(verifiers)
    decoder = Decoder(
        timed,
        ModelDraft(target.early_exit(config.exit)),
        scheme=scheme,
        rule=turns,
        branching=(k, *(1,) * (config.length - 1)),
        batch=batch,
    )
    stream = decoder.stream(requests)
    for _ in range((config.steps + 1) * batch):
        next(stream)
    stream.close()
    taken = timed.seconds[2:]  # without the prompt's pass and the first, which warms up
    rows = []
    for rule in rules:
        shares = {}
        for executor in COMPARED:
            own = np.array(turns.seconds[rule, executor][1:])
            shares[executor] = own / (own + np.array(taken[: len(own)])), own
        (one, slow), (other, fast) = (shares[executor] for executor in COMPARED)
        low, high = np.quantile(other, [0.25, 0.75])
        named = f"{sampling.temperature:g}"
        named += f", top-k {sampling.top_k}" if sampling.top_k else ""
        named += f", top-p {sampling.top_p}" if sampling.top_p else ""
        rows.append(
            f"| {rule} | {k} | {batch} | {named} | {1e3 * np.median(taken):.1f} | "
            f"{1e3 * np.median(slow):.2f} | {1e3 * np.median(fast):.2f} | {np.median(one):.1%} | "
            f"{np.median(other):.1%} ({low:.1%} to {high:.1%}) |"
        )
    return rows


def table(config: Config, rows: Sequence[str], size: int) -> str:
    """The table as Markdown."""
    import transformers

    lines = [
        "# What verification adds to a step of the decoder",
        "",
        f"`python -m sims.decode_verification`: {config.model}, V = {size:,}, drafts by its exit "
        f"{config.exit}, trees of k sequences of {config.length} tokens, medians over "
        f"{config.steps} steps. All verifiers of a scheme rule on the same drafts and logits of "
        "each step: greedy_optimal on greedy drafts, recursive_without_replacement on such ones, "
        "the others on i.i.d. ones. Milliseconds are processor time of one thread. The share is of "
        "the verifier in target pass + verifier, so an upper bound of its share of the step, which "
        "drafting belongs to also; in brackets its quartiles. A text that ends its walk early "
        "reads fewer rows. The default is the batched executor.",
        "",
        f"{processor()}, Python {platform.python_version()}, NumPy {np.__version__}, torch "
        f"{torch.__version__}, transformers {transformers.__version__}.",
        "",
        "| rule | k | batch | temperature | target pass ms | definition ms | batched ms | share of "
        "the definition | share of the batched |",
        "|---|---|---|---|---|---|---|---|---|",
        *rows,
    ]
    return "\n".join(lines) + "\n"


def _timed(call: Callable[[Any], Any], seconds: list[float]) -> Callable[[Any], Any]:
    def timed(argument: Any) -> Any:
        before = time.thread_time()
        result = call(argument)
        seconds.append(time.thread_time() - before)
        return result

    return timed


def main() -> None:
    """Measure and write the table."""
    from spectheory.decoding.registry import load

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--steps", type=int, default=Config.steps)
    parser.add_argument("--batches", type=int, nargs="+", default=Config.batches)
    given = parser.parse_args()
    config = Config(steps=given.steps, batches=tuple(given.batches))
    target: Any = load(config.model)
    target.speed_up()
    torch.set_num_threads(1)
    rows = []
    for batch in config.batches:
        for sampling in config.samplings[: None if batch == 1 else 2]:
            for scheme, k in itertools.product(RULES, config.counts):
                found = measure(config, target, scheme, k, batch, sampling)
                print(*found, sep="\n", flush=True)
                rows += found
    TABLE.write_text(table(config, rows, target.vocab_size), encoding="utf-8")


if __name__ == "__main__":
    main()
