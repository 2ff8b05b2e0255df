"""What verification adds to a decode step on CPU: time a rule beside the time of a target pass.

``python -m sims.batched_bench`` takes next-token logits of SmolLM2 behind held-out text as target,
and the same logits with noise as draft, and writes sims/tables/batched_bench.md. Rules and passes
are timed in turns, so that other work on the machine meets both; their ratio is what counts.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from spectheory.batched.laws import from_logits
from spectheory.batched.rejection import verify_chain
from spectheory.batched.rule import batched_rules
from spectheory.drafting.scheme import scheme

TABLE = Path(__file__).parent / "tables" / "batched_bench.md"
TEXT = "The theory of speculative decoding asks how many tokens one pass of a model can settle. "


@dataclass(frozen=True)
class Config:
    """What is timed.

    Attributes:
        model: key in the registry.
        k: drafts a position, and tokens of the chain.
        noise: standard deviation of what is added to the target's logits to make the draft's.
        rounds: turns in which every rule and the pass are timed once.
        threads: of torch.
        seed: of the noise, the drafts and the tapes.
    """

    model: str = "smollm2"
    k: int = 4
    noise: float = 1.0
    rounds: int = 40
    threads: int = 1
    seed: int = 0


def measure(config: Config) -> tuple[int, dict[str, list[float]]]:
    """Vocabulary size, and the milliseconds of each round by what was timed."""
    from spectheory.decoding.registry import load
    from spectheory.decoding.session import Nodes

    model: Any = load(config.model)
    session = model.session(1)
    text = model.encode(TEXT * 8)
    session.extend([Nodes.chain(text[: -config.k], 1)])
    session.keep([range(len(text) - config.k)])
    block = Nodes.chain(text[-config.k :], config.k)

    def target_pass() -> Any:
        rows = session.extend([block])
        session.keep([[]])
        return rows[0]

    generator = np.random.default_rng(config.seed)
    target = target_pass().logits[None].float().clone()
    target = torch.cat([target, target[:, -1:]], 1)  # (1, k + 1, V)
    noise = generator.normal(size=(1, config.k, target.shape[-1])) * config.noise
    draft = (target[:, :-1] + torch.as_tensor(noise)).float()
    work: dict[str, Callable[[], object]] = {"target pass": target_pass}
    declared = from_logits(draft)
    for key, rule in batched_rules().items():
        work[key] = _one_position(rule, config, target[:, 0], declared[:, 0], generator)
    drafts = torch.as_tensor(
        scheme("iid").sample(declared.dense().numpy(), 1, generator.random((1, config.k, 1)))
    )[..., 0]

    def chain() -> object:
        tape = torch.as_tensor(generator.random((1, config.k + 1, 2)))
        return verify_chain(from_logits(target), declared, drafts, tape)

    work["rejection, chain of k"] = chain
    taken: dict[str, list[float]] = {name: [] for name in work}
    for call in work.values():
        call()  # compiles
    for _ in range(config.rounds):
        for name, call in work.items():
            before = time.perf_counter()
            call()
            taken[name].append(1e3 * (time.perf_counter() - before))
    return target.shape[-1], taken


def _one_position(
    rule: Any, config: Config, target: torch.Tensor, declared: Any, generator: np.random.Generator
) -> Callable[[], object]:
    """A call that turns a target row into its law and verifies k drafts, fresh at every call."""
    k = min(config.k, rule.definition.most_drafts or config.k)
    kind = scheme("iid" if "iid" in rule.definition.schemes else rule.definition.schemes[0])
    law = declared.dense().numpy()

    tapes = generator.random((config.rounds + 1, 1, kind.tape_length(k)))
    drafts = iter([torch.as_tensor(kind.sample(law, k, tape)) for tape in tapes])

    def call() -> object:
        tape = torch.as_tensor(generator.random((1, k + 1)))
        return rule(from_logits(target), declared, next(drafts), tape)

    return call


def table(config: Config, size: int, taken: dict[str, list[float]]) -> str:
    """The table as Markdown."""
    whole = taken["target pass"]
    lines = [
        "# What verification adds to a decode step",
        "",
        f"`python -m sims.batched_bench --rounds {config.rounds} --threads {config.threads}`: "
        f"{config.model}, V = {size:,}, k = {config.k}, one request, {config.threads} thread(s) of "
        "a CPU that other jobs shared: the milliseconds are inflated, the shares are medians of "
        f"ratios within each of {config.rounds} rounds. A rule's time includes the softmax of the "
        "target rows that it reads; the draft's sums are known from drafting.",
        "",
        "| what | median ms | share of a target pass over k tokens | quartiles of the share |",
        "|---|---|---|---|",
    ]
    for name, times in taken.items():
        shares = np.array(times) / np.array(whole)
        low, high = np.quantile(shares, [0.25, 0.75])
        lines.append(
            f"| {name} | {median(times):.2f} | {median(shares):.1%} | {low:.1%} to {high:.1%} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=Config.rounds)
    parser.add_argument("--threads", type=int, default=Config.threads)
    given = parser.parse_args()
    config = Config(rounds=given.rounds, threads=given.threads)
    torch.set_num_threads(config.threads)
    text = table(config, *measure(config))
    TABLE.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
