"""One run of `spectheory bench decode`: latencies, plans, then all cells, each kept on disk."""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from functools import cache, partial
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spectheory.cli.bench_cells import PLAIN, Cell, Choice, Peer, run_choice, run_peer
from spectheory.cli.bench_plan import WARM_UP, calibrate, passes, plan, target_latency
from spectheory.cli.bench_processes import beside, check_shared, side_by_side
from spectheory.cli.journal import Journal
from spectheory.cli.machine import processor
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

    @property
    def key(self) -> list[str]:
        """Tells texts apart whose name is one: a tokenizer or chat template may change."""
        tokens = np.ascontiguousarray(self.tokens, dtype=np.int64).tobytes()
        return [self.name, hashlib.sha256(tokens).hexdigest()[:16]]


class _Work(NamedTuple):
    """A cell that is to be timed: a configuration with the tree that it drafts, and a prompt."""

    config: Choice | Peer
    tree: tuple[int, ...]
    prompt: Prompt


@dataclass(frozen=True)
class BenchRun:
    """What all parts of a run share.

    Attributes:
        target: the model.
        sources: drafts by short name, "none" among them.
        prompts: texts to time, the sets in turn.
        apart: texts to plan on, which are not timed.
        weights: fingerprint of each source's own weights, by short name.
        journal: finished work.
        settings: what decides a cell's result besides its configuration, prompt and `versions`;
            part of each key of the journal, so that a run goes on only where it fits.
        versions: of the software and the device; part of each key as well.
        processes: that run cells side by side.
        warm: configurations that this process has run already.
    """

    target: TransformerModel
    sources: Mapping[str, DraftSource]
    prompts: Sequence[Prompt]
    apart: Sequence[Prompt]
    weights: Mapping[str, str]
    journal: Journal
    settings: dict[str, Any]
    versions: dict[str, str]
    processes: int = 1
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
            InputError: prompt sets too small to leave a text besides those planned on, texts
                longer than the target's context, or more processes than can share it.
        """
        import torch

        from spectheory.decoding.fingerprint import fingerprint, fingerprint_of_draft

        check_shared(options.processes, target)
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
            "weights": fingerprint(target.module),
            "device": str(target.module.device),
            "dtype": str(target.module.dtype).removeprefix("torch."),
            "threads": torch.get_num_threads(),
            "small_passes": ",".join(sorted(target.small_passes)) or "library",
        }
        named = ("apart", "chat", "longest", "new_tokens", "seed", "repeats", "processes")
        settings |= {name: getattr(options, name) for name in named}
        journal = Journal(options.out / "cells.jsonl")
        weights = {name: fingerprint_of_draft(source) for name, source in sources.items()}
        versions, processes = _versions(target), options.processes
        return cls(target, sources, timed, apart, weights, journal, settings, versions, processes)

    @property
    def new_tokens(self) -> int:
        """Tokens to emit for each prompt."""
        return int(self.settings["new_tokens"])

    def planned(
        self, choices: Sequence[Choice]
    ) -> tuple[LatencyTable, StepCost, dict[Choice, dict[str, Any]]]:
        """Latencies, cost of a plain step and plans, timed beside as much as cells will be."""
        with beside(partial(passes, self.target), self.processes):
            latency = self.latency()
            return latency, *self.plans(choices, latency)

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
        count = len(configurations)
        order = [
            _Work(config, _tree(config, plans), prompt)
            for i, prompt in enumerate(self.prompts)
            for config in (configurations[(i + turn) % count] for turn in range(count))
        ]
        cells: dict[Choice | Peer, list[Cell]] = {config: [] for config in configurations}
        with progress("decoding", len(order)) as show:
            if self.processes > 1:
                self._finish(order, show)
            for done, work in enumerate(order, 1):
                make = partial(self._cell, work)
                cells[work.config].append(self._timed(self._cell_key(work), make))
                show(done)
        return cells

    def _finish(self, order: Sequence[_Work], show: Callable[[float], None]) -> None:
        """Time cells that are not in the journal in several processes; this one writes them."""
        left = [work for work in order if self._cell_key(work) not in self.journal]
        if not left:
            return
        with closing(side_by_side(self._cell, left, self.processes)) as made:
            for done, (work, cell) in enumerate(made, 1 + len(order) - len(left)):
                self.journal.get_or(self._cell_key(work), partial(asdict, cell))
                show(done)

    def _written(self, plain: Choice, prompt: Prompt) -> Cell:
        """Plain decoding of a prompt set apart: the text that plans are made on."""

        def make(new_tokens: int) -> Cell:
            return run_choice(
                self.target, self.sources["none"], plain, (), prompt.tokens, new_tokens, prompt.seed
            )

        def warm_and_make() -> Cell:
            make(min(WARM_UP, self.new_tokens))
            return make(self.new_tokens)

        return self._timed(self._key("apart", plain, prompt.key), warm_and_make)

    def _calibrated(self, choice: Choice, prompt: Prompt, written: Cell) -> dict[str, Any]:
        text = np.array([*prompt.tokens, *written.tokens])
        source = self.sources[choice.draft]
        make = partial(calibrate, self.target, source, choice, prompt.tokens, text)
        found: dict[str, Any] = self.journal.get_or(
            self._key("calibrated", choice, self.weights[choice.draft], prompt.key), make
        )
        return found

    def _cell(self, work: _Work) -> Cell:
        config, tree, prompt = work

        def make(new_tokens: int) -> Cell:
            if isinstance(config, Peer):
                name = self._helper(config)
                helper = None if name is None else assistant(self.sources[name])
                room = self.settings["longest"] + self.new_tokens
                return run_peer(
                    self.target, config, prompt.tokens, new_tokens, prompt.seed, room, helper
                )
            source = self.sources[config.draft]
            return run_choice(
                self.target, source, config, tree, prompt.tokens, new_tokens, prompt.seed
            )

        if config not in self.warm:
            make(min(WARM_UP, self.new_tokens))
        self.warm.add(config)
        return make(self.new_tokens)

    def _cell_key(self, work: _Work) -> str:
        if isinstance(work.config, Peer):
            helper = self.weights.get(self._helper(work.config) or "", "")
            return self._key("mode", work.config, helper, work.prompt.key)
        weights = self.weights[work.config.draft]
        return self._key("cell", work.config, weights, work.tree, work.prompt.key)

    def _helper(self, peer: Peer) -> str | None:
        """The source whose model assists transformers: the first that is one."""
        if peer.mode != "assisted":
            return None
        return next(name for name, source in self.sources.items() if assistant(source) is not None)

    def _key(self, kind: str, *what: Any) -> str:
        return json.dumps([kind, self.settings, self.versions, *what])

    def _timed(self, key: str, make: Callable[[], Cell]) -> Cell:
        return Cell(**self.journal.get_or(key, lambda: asdict(make())))


def _tree(config: Choice | Peer, plans: Mapping[Choice, dict[str, Any]]) -> tuple[int, ...]:
    """Draws below each draw; none in plain decoding, and in transformers' modes."""
    if isinstance(config, Peer) or config not in plans:
        return ()
    return tuple(plans[config]["branching"])


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

    device = processor()
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
