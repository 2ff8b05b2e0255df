"""Draft sources by short name, as the command line spells them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spectheory.decoding.draft_source import DraftSource, ModelDraft, NoDraft
from spectheory.decoding.lookup import InputCopy, PromptLookup
from spectheory.decoding.lookup_first import SHORTEST, LookupFirst
from spectheory.decoding.ngram import NgramModel
from spectheory.decoding.ngram_draft import NgramDraft
from spectheory.decoding.prompts import stdlib_source
from spectheory.decoding.pruned_head import PrunedHead, frequent_tokens
from spectheory.decoding.registry import load
from spectheory.errors import UnknownName

if TYPE_CHECKING:
    from spectheory.decoding.transformer import TransformerModel

SPELLINGS = (
    "none, lookup, copy, ngram:N (order), exit:L (layers), pruned:L:N (layers, tokens), "
    "distil (the drafter that comes with the package), distil:FOLDER (see spectheory distil), a "
    "model, or lookup+DRAFT (copies where the text repeats itself, else one token of the draft; "
    "lookup+N:DRAFT: else N levels of it)"
)


def shipped_drafters() -> dict[str, Path]:
    """Folders of the trained drafters that come with the package, by the name of their target."""
    found = sorted((Path(__file__).parent / "drafters").iterdir())
    return {folder.name: folder for folder in found if folder.is_dir()}


def draft_source(
    name: str, target: TransformerModel, *, allow_unofficial: bool = False
) -> DraftSource:
    """The draft source with that name, for a target.

    Args:
        name: one of `SPELLINGS`; a model is a registry key, a Hugging Face name or a folder.
        target: the model that is drafted for.
        allow_unofficial: see `spectheory.decoding.registry.load`.

    Raises:
        UnknownName: none of these.
        InputError: a number that the source cannot have, or a drafter of another target.
        SourceUnavailable: a folder without a drafter, or a model that cannot be had.
    """
    copies, plus, rest = name.partition("+")
    if copies == "lookup" and plus:
        levels, colon, behind = rest.partition(":")
        if not (colon and levels.isdecimal()):
            levels, behind = "1", rest
        other = draft_source(behind, target, allow_unofficial=allow_unofficial)
        copies_of = PromptLookup(target.vocab_size, shortest=SHORTEST)
        return LookupFirst(copies_of, other, int(levels))
    if name == "distil" or name.startswith("distil:"):
        from spectheory.decoding.distil_drafter import load_drafter, whole_head
        from spectheory.decoding.following import FollowingDraft, FollowingDrafter

        folder = Path(name.partition(":")[2]).expanduser() if ":" in name else _shipped(target)
        drafter = load_drafter(folder, target)
        follows = isinstance(whole_head(drafter), FollowingDrafter)
        return FollowingDraft(drafter) if follows else ModelDraft(drafter)
    kind, *parameters = name.split(":")
    makers: dict[tuple[str, int], Callable[..., DraftSource]] = {
        ("none", 0): NoDraft,
        ("lookup", 0): lambda: PromptLookup(target.vocab_size),
        ("copy", 0): lambda: InputCopy(target.vocab_size),
        ("ngram", 1): lambda order: NgramDraft(_taught(target, order)),
        ("exit", 1): lambda layer: ModelDraft(target.early_exit(layer)),
        ("pruned", 2): lambda layer, size: ModelDraft(
            PrunedHead(target.early_exit(layer), _frequent(target, size))
        ),
    }
    make = makers.get((kind, len(parameters)))
    if make is not None and all(number.isdecimal() for number in parameters):
        return make(*map(int, parameters))
    try:
        model = load(
            name,
            allow_unofficial=allow_unofficial,
            device=str(target.module.device),
            dtype=str(target.module.dtype).removeprefix("torch."),
        )
    except UnknownName as error:
        raise UnknownName(f"no draft `{name}`; expected {SPELLINGS}") from error
    if target.small_passes:
        model.speed_up()
    return ModelDraft(model)


def _shipped(target: TransformerModel) -> Path:
    drafters = shipped_drafters()
    if target.name not in drafters:
        raise UnknownName(
            f"no drafter for `{target.name}` comes with the package, only for "
            f"{', '.join(drafters)}; train one with `spectheory distil` and name it distil:FOLDER"
        )
    return drafters[target.name]


def _taught(target: TransformerModel, order: int) -> NgramModel:
    model = NgramModel(target.vocab_size, order)
    model.update(target.encode(stdlib_source()))
    return model


def _frequent(target: TransformerModel, size: int) -> np.ndarray:
    return frequent_tokens([target.encode(stdlib_source())], target.vocab_size, size)
