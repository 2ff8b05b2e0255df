"""One run of `spectheory bench decode`: latencies, plans, then all cells, each kept on disk."""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache, partial
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spectheory.cli.bench_cells import PLAIN, Cell, Choice, Peer, run_choice, run_peer
from spectheory.cli.bench_plan import WARM_UP, calibrate, plan, target_latency
from spectheory.cli.journal import Journal
from spectheory.cost.latency import LatencyTable
from spectheory.cost.speedup import StepCost
from spectheory.decoding.lookup_first import LookupFirst
from spectheory.decoding.progress import progress
from spectheory.errors import InputError

if TYPE_CHECKING:
    from spectheory.decoding.draft_source import DraftSource
    from spectheory.decoding.transformer import TransformerModel

MOST_TOKENS = 17
"""Widest pass whose latency is measured."""


class Prompt(NamedTuple):
    """A text to go on from.

    Attributes:
        name: its set, and its place in `nested` order; stable whatever number of texts is timed.
        seed: of what is sampled.
        tokens: ``(n,)``.
    """

    name: str
    seed: int
    tokens: np.ndarray


@dataclass(frozen=True)
class BenchRun:
    """What all parts of a run share.

    Attributes:
        target: the model.
        sources: drafts by short name, "none" among them.
        prompts: texts to time, the sets in turn.
        apart: texts to plan on, which are not timed.
        journal: finished work.
        settings: what decides a cell's result besides its configuration, prompt and `versions`;
            part of each key of the journal, so that a run goes on only where it fits.
        versions: of the software and the device; part of each key as well.
        warm: configurations that this process has run already.
    """

    target: TransformerModel
    sources: Mapping[str, DraftSource]
    prompts: Sequence[Prompt]
    apart: Sequence[Prompt]
    journal: Journal
    settings: dict[str, Any]
    versions: dict[str, str]
    warm: set[Choice | Peer] = field(default_factory=set)

    @classmethod
    def of(
        cls,
        options: argparse.Namespace,
        target: TransformerModel,
        sources: Mapping[str, DraftSource],
    ) -> BenchRun:
        """The run that the arguments describe.

        Raises:
            InputError: prompt sets too small to leave a text besides those planned on, or texts
                longer than the target's context.
        """
        import torch

        most = options.longest + options.new_tokens + MOST_TOKENS
        if target.context is not None and most > target.context:
            raise InputError(
                f"`--longest`, `--new-tokens` are {options.longest}, {options.new_tokens}; with "
                f"{MOST_TOKENS} tokens of the widest pass behind them that is {most}, and model "
                f"`{target.name}` looks back on {target.context}"
            )
        texts = [_texts(name.strip(), target, options) for name in options.prompts.split(",")]
        apart = [text for found in texts for text in found[: options.apart]]
        rounds = zip_longest(*(found[options.apart :] for found in texts))
        timed = [text for turn in rounds for text in turn if text is not None]
        if not timed:
            raise InputError(
                f"`--prompts` gives no text besides the {options.apart} a set that are planned on"
            )
        settings = {
            "target": target.name,
            "device": str(target.module.device),
            "dtype": str(target.module.dtype).removeprefix("torch."),
            "threads": torch.get_num_threads(),
            "small_passes": ",".join(sorted(target.small_passes)) or "library",
        }
        named = ("apart", "chat", "longest", "new_tokens", "seed", "repeats")
        settings |= {name: getattr(options, name) for name in named}
        journal = Journal(options.out / "cells.jsonl")
        return cls(target, sources, timed, apart, journal, settings, _versions(target))

    @property
    def new_tokens(self) -> int:
        """Tokens to emit for each prompt."""
        return int(self.settings["new_tokens"])

    def latency(self) -> LatencyTable:
        """Seconds of the target's passes; never fewer for more tokens, as noise would have it."""
        from scipy.optimize import isotonic_regression

        contexts = (8, self.settings["longest"] + self.new_tokens)
        repeats = self.settings["repeats"]

        def measure() -> Any:
            with progress("latencies", len(contexts) * (repeats + 1)) as show:
                table = target_latency(self.target, contexts, MOST_TOKENS, repeats, show)
            return table.seconds.tolist()

        seconds = self.journal.get_or(self._key("latency"), measure)
        rising = np.array([isotonic_regression(row).x for row in seconds])
        return LatencyTable(contexts, tuple(range(1, MOST_TOKENS + 1)), rising)

    def plans(
        self, choices: Sequence[Choice], latency: LatencyTable
    ) -> tuple[StepCost, dict[Choice, dict[str, Any]]]:
        """Cost of a plain step, and a plan for each choice that drafts."""
        context = self.settings["longest"] + self.new_tokens / 2
        plain = [choice for choice in choices if choice.name == PLAIN]
        written = {
            choice.temperature: [self._written(choice, text) for text in self.apart]
            for choice in plain
        }
        cells = [cell for found in written.values() for cell in found]
        step = {
            phase: float(np.mean([cell.phases[phase] / cell.calls for cell in cells]))
            for phase in ("draft", "sample", "host")
        }
        plain_step = StepCost(verify=latency(1, context), **step)
        drafting = [choice for choice in choices if choice.name != PLAIN]
        plans = {}
        with progress("plans", len(drafting)) as show:
            for done, choice in enumerate(drafting, 1):
                texts = written[choice.temperature]
                pairs = zip(self.apart, texts, strict=True)
                found = [self._calibrated(choice, text, cell) for text, cell in pairs]
                plans[choice] = plan(choice, found, plain_step, latency, context)
                show(done)
        return plain_step, plans

    def cells(
        self, configurations: Sequence[Choice | Peer], plans: Mapping[Choice, dict[str, Any]]
    ) -> dict[Choice | Peer, list[Cell]]:
        """All cells, prompt by prompt, so that configurations are timed side by side.

        The order turns from prompt to prompt, so that none always follows the same neighbour.
        """
        cells: dict[Choice | Peer, list[Cell]] = {config: [] for config in configurations}
        with progress("decoding", len(self.prompts) * len(configurations)) as show:
            for i, prompt in enumerate(self.prompts):
                for turn in range(len(configurations)):
                    config = configurations[(i + turn) % len(configurations)]
                    cells[config].append(self._cell(config, plans, prompt))
                    show(i * len(configurations) + turn + 1)
        return cells

    def _written(self, plain: Choice, prompt: Prompt) -> Cell:
        """Plain decoding of a prompt set apart: the text that plans are made on."""

        def make(new_tokens: int) -> Cell:
            return run_choice(
                self.target, self.sources["none"], plain, (), prompt.tokens, new_tokens, prompt.seed
            )

        def warm_and_make() -> Cell:
            make(min(WARM_UP, self.new_tokens))
            return make(self.new_tokens)

        return self._timed(self._key("apart", plain, prompt.name), warm_and_make)

    def _calibrated(self, choice: Choice, prompt: Prompt, written: Cell) -> dict[str, Any]:
        text = np.array([*prompt.tokens, *written.tokens])
        source = self.sources[choice.draft]
        make = partial(calibrate, self.target, source, choice, prompt.tokens, text)
        found: dict[str, Any] = self.journal.get_or(
            self._key("calibrated", choice, prompt.name), make
        )
        return found

    def _cell(
        self, config: Choice | Peer, plans: Mapping[Choice, dict[str, Any]], prompt: Prompt
    ) -> Cell:
        tree: Sequence[int] = ()
        if isinstance(config, Choice) and config in plans:
            tree = plans[config]["branching"]

        def make(new_tokens: int) -> Cell:
            if isinstance(config, Peer):
                helper = next(filter(None, map(assistant, self.sources.values())), None)
                room = self.settings["longest"] + self.new_tokens
                return run_peer(
                    self.target, config, prompt.tokens, new_tokens, prompt.seed, room, helper
                )
            source = self.sources[config.draft]
            return run_choice(
                self.target, source, config, tree, prompt.tokens, new_tokens, prompt.seed
            )

        def warm_and_make() -> Cell:
            if config not in self.warm:
                make(min(WARM_UP, self.new_tokens))
            self.warm.add(config)
            return make(self.new_tokens)

        if isinstance(config, Peer):
            return self._timed(self._key("mode", config, prompt.name), warm_and_make)
        return self._timed(self._key("cell", config, list(tree), prompt.name), warm_and_make)

    def _key(self, kind: str, *what: Any) -> str:
        return json.dumps([kind, self.settings, self.versions, *what])

    def _timed(self, key: str, make: Callable[[], Cell]) -> Cell:
        return Cell(**self.journal.get_or(key, lambda: asdict(make())))


def _texts(name: str, target: TransformerModel, options: argparse.Namespace) -> list[Prompt]:
    """The texts of a set that are planned on, then those that are timed."""
    from spectheory.decoding.prompts import nested, prompts

    texts = prompts(name)
    return [
        Prompt(
            f"{name} {rank}",
            options.seed + rank,
            prompt_within(texts[i], target, options.longest, options.chat),
        )
        for rank, i in enumerate(nested(len(texts))[: options.apart + options.limit])
    ]


def prompt_within(
    text: str, target: TransformerModel, longest: int, chat: bool = False
) -> np.ndarray:
    """The text's first tokens; of a chat, the message is cut, not what stands around it.

    Raises:
        InputError: the chat template leaves no room for a message.
    """
    tokens = target.encode(text)[:longest]
    if not chat:
        return tokens
    around = len(target.chat(""))
    if around >= longest:
        raise InputError(f"`--longest` is {longest}; the chat template alone takes {around} tokens")
    for room in range(longest - around, 0, -1):  # a text cut off may take more tokens
        whole = target.chat(target.decode(tokens[:room]))
        if len(whole) <= longest:
            break
    return whole


def _versions(target: TransformerModel) -> dict[str, str]:
    import torch
    import transformers

    from spectheory import __version__

    device = platform.processor() or platform.machine()
    if target.module.device.type == "cuda":
        device = torch.cuda.get_device_name(target.module.device)
    return {
        "spectheory": __version__,
        "source": _source_digest(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "device": device,
    }


@cache
def _source_digest() -> str:
    """Of the package's Python files: a version number stands still while they are edited."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def assistant(source: DraftSource) -> Any:
    """The transformers module of a draft, behind lookup or not, that is a model of its own."""
    if isinstance(source, LookupFirst):
        source = source.other
    return getattr(getattr(source, "model", None), "module", None)
