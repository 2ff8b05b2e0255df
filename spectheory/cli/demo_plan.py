"""What the demonstration measures: its drafts, and every (scheme, draft, k, rule) it will run."""

from __future__ import annotations

import hashlib
import inspect
import json
import platform
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

from spectheory.cli.logits import TABULAR, Request, draft_names
from spectheory.cli.style import OPTIMUM
from spectheory.drafting.scheme import schemes
from spectheory.verification.rule import VerificationRule, rule, rules


class Slot(NamedTuple):
    """A draft model with a factor on the temperature."""

    draft: str
    heat: float = 1.0


SINGLE = {"smollm2": ("exit:28", "ngram:5")}
"""Drafts that the schemes with one draft law are measured with; other pairs use all of theirs."""

SLOTS = {
    "smollm2": (
        Slot("exit:28"),
        Slot("ngram:5"),
        Slot("exit:25"),
        Slot("exit:28", 0.7),
        Slot("ngram:5", 0.7),
        Slot("exit:20"),
        Slot("exit:25", 0.7),
        Slot("exit:28", 1.4),
    )
}
"""Drafts of the heterogeneous scheme, which uses the first k; other pairs cycle through theirs."""

LOGITS = (
    *("cli/logits.py", "decoding/models.toml", "decoding/small_*.py", "decoding/transformer*.py"),
    *(
        f"decoding/{part}.py"
        for part in ("convert", "early_exit", "logged", "ngram", "pairs", "prompts", "tabular")
    ),
)
"""Source that logits are made with."""

CELLS = (
    *("*.py", "drafting/*.py", "transport/*.py", "kernels/*.py"),
    *("audit/enumeration.py", "audit/rates.py", "cli/demo_cells.py", "cli/optimum.py"),
)
"""Source that every cell depends on."""

HEATS = (1.0, 0.7, 1.4, 0.5, 2.0, 0.85, 1.2, 0.6)


MIXED = "mixed"
"""Stands for the draft's name where each slot has its own."""


class Cell(NamedTuple):
    """One measurement; rule `optimum` is the optimum's value."""

    scheme: str
    draft: str
    k: int
    rule: str


@dataclass(frozen=True)
class Config:
    """All that decides the numbers.

    Attributes:
        request: the logits.
        temperature: of target and drafts.
        counts: the numbers of drafts k.
        draws: draft tuples a position for rules without a closed form.
        resamples: bootstrap samples.
        few: positions for rules whose set-up is an iteration, evenly spaced.
    """

    request: Request
    temperature: float = 1.0
    counts: tuple[int, ...] = (1, 2, 4, 8)
    draws: int = 4
    resamples: int = 2000
    few: int = 16

    def cells(self) -> list[Cell]:
        """Everything to measure, the optimum first in each group.

        Every lossless rule of the catalogue is there wherever it covers the scheme and k.
        """
        names = draft_names(self.request.pair)
        single = SINGLE.get(self.request.pair, tuple(names))
        found = []
        for scheme in schemes().values():
            for draft in [MIXED] if scheme.per_slot else single:
                for k in self.counts:
                    serving = [
                        r.key for r in rules().values() if r.lossless and r.serves(scheme.key, k)
                    ]
                    found += [Cell(scheme.key, draft, k, key) for key in (OPTIMUM, *serving)]
        return found

    def slots(self) -> tuple[Slot, ...]:
        """The heterogeneous scheme's drafts, as many as the largest k."""
        pair = self.request.pair
        names = draft_names(pair)
        cycled = tuple(
            Slot(names[i % len(names)], heat) for heat in HEATS for i in range(len(names))
        )
        slots = SLOTS.get(pair, cycled)
        most = max(self.counts)
        return (slots * -(-most // len(slots)))[:most]

    def logits_key(self) -> str:
        """Names the logits: changes with the request, the weights here and the code behind them.

        Python is among the latter: its library warms up n-gram drafts.
        """
        from spectheory.decoding.pairs import origins

        pair = self.request.pair
        weights = {} if pair == TABULAR else origins(pair)
        return _digest([asdict(self.request), weights, _code(LOGITS), platform.python_version()])

    def cell_key(self, cell: Cell) -> str:
        """Names a cell's result: changes with configuration, logits and the code behind it."""
        what = asdict(self) | {"resamples": None, "slots": self.slots(), "counts": None}
        code = _code(CELLS) if cell.rule == OPTIMUM else _code_of(rule(cell.rule))
        return _digest([what, cell, code, self.logits_key()])


def _digest(what: object) -> str:
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]


@cache
def _code(parts: tuple[str, ...]) -> str:
    """Digest of the source that patterns in the package's folder name."""
    return _of_files(files_of(parts))


def files_of(parts: tuple[str, ...]) -> list[Path]:
    """The files that patterns in the package's folder name."""
    root = Path(__file__).parent.parent
    return [path for part in parts for path in sorted(root.glob(part))]


def _code_of(rule: VerificationRule) -> str:
    """Digest of the rule's module, of those it imports a rule from, and of the common source."""
    module = sys.modules[type(rule).__module__]
    owners = {getattr(value, "__module__", None) for value in vars(module).values()}
    used = {module.__name__} | {
        name for name in owners if name and name.startswith("spectheory.verification.")
    }
    sources = [inspect.getsourcefile(sys.modules[name]) for name in sorted(used)]
    return _of_files(Path(source) for source in sources if source) + _code(CELLS)


def _of_files(paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
