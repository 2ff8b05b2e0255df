"""Target and draft models that are measured together, by short name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING

from spectheory.decoding.model import LanguageModel
from spectheory.decoding.ngram import NgramModel
from spectheory.decoding.prompts import stdlib_source
from spectheory.decoding.registry import load, models, origin, tables
from spectheory.discovery import named
from spectheory.errors import UnknownName

if TYPE_CHECKING:
    from spectheory.decoding.transformer import TransformerModel


@dataclass(frozen=True)
class Pair:
    """A target and its drafts, each a function that builds the model when it is needed.

    Drafts that are made from the target share one copy of it; a draft with its own weights is
    loaded when it is built, so that a caller may drop one model before the next.

    Attributes:
        key: its short name.
        target: builds the target.
        drafts: builds each draft, by its name in ``models.toml``.
    """

    key: str
    target: Callable[[], TransformerModel]
    drafts: Mapping[str, Callable[[], LanguageModel]]


def pair(key: str = "smollm2", *, allow_unofficial: bool = False) -> Pair:
    """The registered pair with that key; nothing is loaded yet.

    Raises:
        UnknownName: no such pair, or a draft that is neither a model, ``exit:L`` nor ``ngram:N``.

    >>> sorted(pair("smollm2").drafts)
    ['exit:20', 'exit:25', 'exit:28', 'ngram:5']
    """
    table = named(tables()["pairs"], key, "pair")
    target: Callable[[], TransformerModel]
    target = partial(load, table["target"], allow_unofficial=allow_unofficial)
    if any(":" in name for name in table["drafts"]):
        target = cache(target)
    drafts: dict[str, Callable[[], LanguageModel]] = {}
    for name in table["drafts"]:
        kind, _, number = name.partition(":")
        if name in models():
            drafts[name] = partial(load, name, allow_unofficial=allow_unofficial)
        elif kind == "exit" and number.isdecimal():
            drafts[name] = partial(_exit, target, int(number))
        elif kind == "ngram" and number.isdecimal():
            drafts[name] = partial(_ngram, target, int(number))
        else:
            raise UnknownName(f"no draft `{name}`; expected a model key, exit:L or ngram:N")
    return Pair(key, target, drafts)


def origins(key: str) -> dict[str, str | None]:
    """What the weights of a pair's models are, by model key; see `registry.origin`.

    Raises:
        UnknownName: no such pair.
    """
    table = named(tables()["pairs"], key, "pair")
    return {name: origin(name) for name in (table["target"], *table["drafts"]) if name in models()}


def _exit(target: Callable[[], TransformerModel], layer: int) -> LanguageModel:
    return target().early_exit(layer)


def _ngram(target: Callable[[], TransformerModel], order: int) -> LanguageModel:
    model = NgramModel(target().vocab_size, order)
    model.update(target().encode(stdlib_source()))
    return model
