"""Train a drafter to propose what its target would: from prompts to weights with a card.

Each stage leaves its work in the folder, so a run that was killed goes on where it was and ends
with the same bytes. Imports torch: load this module where a model is trained.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from spectheory.decoding.distil_corpus import Corpus, Text, corpus_of, generated, prompt_tokens
from spectheory.decoding.distil_drafter import (
    WEIGHTS,
    DistilledDrafter,
    Recipe,
    checked,
    drafter_of,
    load_drafter,
    save_drafter,
    whole_head,
)
from spectheory.decoding.distil_losses import LOSSES, acceptance
from spectheory.decoding.fingerprint import fingerprint
from spectheory.decoding.progress import progress
from spectheory.decoding.pruned_head import frequent_tokens
from spectheory.discovery import named
from spectheory.errors import InputError
from spectheory.training import Training, train

if TYPE_CHECKING:
    from spectheory.decoding.transformer import TransformerModel


class Known(NamedTuple):
    """What of the target's pass over a text makes its whole laws, by the head alone.

    Attributes:
        states: ``(T - 1, size)`` float16, before the head, of all tokens but the last.
        normaliser: ``(T - 1,)`` float32 log-sum-exp of the logits there.
    """

    states: np.ndarray
    normaliser: np.ndarray


@dataclass(frozen=True)
class Distillation:
    """How a drafter is made.

    Attributes:
        recipe: see `Recipe`.
        loss: a key of `LOSSES`.
        tokens: size of a pruned head, with the tokens that are most frequent in the training
            texts; None for the whole vocabulary.
        batch: texts of a training step.
        passes: drafts in a row that a drafter which follows its target is trained on; the loss of
            each counts `FADING` of that of the one before.
        start: folder of a drafter to train on from; None to start from the target's layers.
        also: folders of earlier distillations, whose texts are trained on too.
        corpus: the training texts.
        held_out: the texts that acceptance is measured on.
        training: steps, rate and seed.
    """

    recipe: Recipe
    corpus: Corpus
    held_out: Corpus
    training: Training
    loss: str = "tv"
    tokens: int | None = None
    batch: int = 8
    passes: int = 3
    start: str | None = None
    also: tuple[str, ...] = ()


FADING = 0.8
"""A draft counts only if those before it were accepted."""


def distil(target: TransformerModel, plan: Distillation, folder: Path) -> dict[str, Any]:
    """Generate texts, train, measure, and write weights and card; returns the card.

    Call it again after an interruption, with the same arguments. The target's own parameters are
    set to need no gradient.

    Args:
        target: in float32.
        plan: see `Distillation`.
        folder: for the texts, the checkpoint and the result, which `load_drafter` reads.

    Raises:
        InputError: a plan that cannot be, or a folder of another plan.
        ModelFailure: the loss is not finite.
    """
    plan = replace(plan, recipe=checked(plan.recipe, target))
    _check(plan, target)
    prompt_tokens(target, plan.held_out)  # sources that there are, before hours of training
    target.module.requires_grad_(False)
    texts, known = _training_texts(target, plan, folder)
    with progress("held-out texts", plan.held_out.texts) as show:
        held_out = generated(target, plan.held_out, folder / "held_out", show)
    kept = None
    if plan.tokens is not None:
        whole = [text.tokens for text in texts]
        kept = frequent_tokens(whole, target.vocab_size, plan.tokens)
    drafter = drafter_of(target, plan.recipe)
    if plan.start is not None:
        drafter.parts.load_state_dict(_started(plan, target).parts.state_dict())
    before = held_out_acceptance(drafter, kept, held_out, plan.batch, plan.passes)
    about = _about(target, plan, texts, fingerprint(drafter.parts))
    loss = named(LOSSES, plan.loss, "loss")

    def step(parts: torch.nn.Module, generator: torch.Generator) -> torch.Tensor:
        parts.eval()  # dropout would draw from another generator, which no checkpoint holds
        chosen = torch.randint(len(texts), (plan.batch,), generator=generator).tolist()
        read = [texts[i] for i in chosen], [known[i] for i in chosen]
        law, drafts = laws(drafter, kept, *read, plan.passes)
        weights = FADING ** torch.arange(len(drafts))
        losses = torch.stack([loss(law, draft, generator) for draft in drafts])
        return (losses * weights.to(losses)).sum() / weights.sum()

    with progress(f"training by {plan.loss}", plan.training.steps) as show:
        parts = train(drafter.parts, step, plan.training, folder / "checkpoint.pt", show, about)
    card: dict[str, Any] = {
        "target": target.name,
        "plan": json.loads(json.dumps(asdict(plan))),
        "training_texts": len(texts),
        "training_tokens": sum(len(text.tokens) - text.prompt for text in texts),
        "parameters": sum(part.numel() for part in parts.parameters()),
        "held_out_acceptance_before": before,
    }
    # Measured on what was written: rounding to float16 is part of the drafter.
    save_drafter(folder, plan.recipe, parts, kept, card)
    written = load_drafter(folder, target)
    card["held_out_acceptance"] = held_out_acceptance(
        whole_head(written), kept, held_out, plan.batch, plan.passes
    )
    card["weights_bytes"] = (folder / WEIGHTS).stat().st_size
    save_drafter(folder, plan.recipe, parts, kept, card)
    return card


def _training_texts(
    target: TransformerModel, plan: Distillation, folder: Path
) -> tuple[list[Text], list[Known]]:
    """The texts of all folders, with what of the target's pass over each makes its laws."""
    texts, known = list[Text](), list[Known]()
    for place, corpus in [(folder, plan.corpus), *_also(plan)]:
        with progress("training texts", corpus.texts) as show:
            found = generated(target, corpus, place / "texts", show)
        with progress("target's states", corpus.texts) as show:
            known += target_states(target, found, place / "states", corpus.together, show)
        texts += found
    return texts, known


def _also(plan: Distillation) -> list[tuple[Path, Corpus]]:
    folders = [Path(name).expanduser() for name in plan.also]
    return [(folder, corpus_of(folder / "texts")) for folder in folders]


def laws(
    drafter: DistilledDrafter,
    kept: np.ndarray | None,
    texts: Sequence[Text],
    known: Sequence[Known] | None = None,
    passes: int = 1,
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Both models' laws of every generated token of some texts, over the tokens of the head.

    Args:
        drafter: whose states carry gradients.
        kept: tokens of a pruned head; None for all.
        texts: read side by side.
        known: of each text, from `target_states`; computed if not given.
        passes: drafts in a row, of a drafter that follows the target.

    Returns:
        The target's ``(n, S)`` log-probabilities and the drafter's ``(n, S)`` logits, for the first
        draft, and of one that follows the target for each later one, given those before. (Such a
        drafter has no law behind a text's first token, which is left out.)
    """
    module = drafter.target.module
    tokens, wanted = _side_by_side(texts, drafter)
    head = module.get_output_embeddings()
    if kept is None:
        small = head
    else:
        index = torch.from_numpy(kept).to(module.device)
        bias = None if head.bias is None else head.bias[index]
        small = partial(torch.nn.functional.linear, weight=head.weight[index], bias=bias)
    with torch.no_grad():
        if known is None:
            states = _body_states(module, tokens)
            normaliser = head(states[wanted]).logsumexp(dim=-1)
        else:
            states, normaliser = (
                torch.nn.utils.rnn.pad_sequence(
                    [torch.from_numpy(np.array(values)) for values in part], batch_first=True
                ).to(head.weight)
                for part in zip(*known, strict=True)
            )
            normaliser = normaliser[wanted]
        target = small(states[wanted]) - normaliser[:, None]
    drafts = drafter.states(tokens, states, passes)
    return target, [small(draft[wanted]) for draft in drafts]


@torch.no_grad()
def target_states(
    target: TransformerModel,
    texts: Sequence[Text],
    folder: Path,
    together: int,
    progress: Callable[[float], None] = lambda _: None,
) -> list[Known]:
    """The target's pass over each text, once for the whole training; resumable.

    Args:
        target: the model.
        texts: its texts.
        folder: two files for each ``together`` texts, named after texts and weights, so that
            those of others are not taken; none is ever half-written.
        together: texts read at once.
        progress: called with the number of texts done.

    Returns:
        For each text what `laws` needs, read from disk when looked at.
    """
    folder.mkdir(parents=True, exist_ok=True)
    all_known: list[Known] = []
    weights = fingerprint(target.module)
    for start in range(0, len(texts), together):
        group = texts[start : start + together]
        name = f"{start:06}-{_digest(weights, group)}"
        files = [folder / f"{name}.{part}.npy" for part in Known._fields]
        if not all(file.exists() for file in files):
            tokens = _padded(group).to(target.module.device)
            lengths = [len(text.tokens) - 1 for text in group]
            rows = zip(_body_states(target.module, tokens), lengths, strict=True)
            states = torch.cat([row[:length] for row, length in rows]).half()
            head = target.module.get_output_embeddings()
            # Of the rounded states, so that the law is a law; in parts, since V is large.
            parts = [head(part.to(head.weight)).logsumexp(dim=-1) for part in states.split(512)]
            for file, values in zip(files, (states, torch.cat(parts).float()), strict=True):
                scratch = file.with_name(f".{file.stem}.partial.npy")
                np.save(scratch, values.cpu().numpy())
                scratch.replace(file)
        ends = np.cumsum([len(text.tokens) - 1 for text in group])[:-1]
        pieces = (np.split(np.load(file, mmap_mode="r"), ends) for file in files)
        all_known += map(Known, *pieces)
        progress(len(all_known))
    return all_known


@torch.no_grad()
def held_out_acceptance(
    drafter: DistilledDrafter,
    kept: np.ndarray | None,
    texts: Sequence[Text],
    batch: int,
    passes: int = 1,
) -> dict[str, Any]:
    """Mean acceptance of one draft at temperature 1, the sum of min(p, q), over generated tokens.

    Returns:
        ``mean``, its ``standard_error`` with texts as clusters, and the number of ``positions``;
        of a drafter that follows its target also the means ``in_a_row``: of the first draft and of
        each later one, given that those before were right.
    """
    sums, counts = [], []
    for start in range(0, len(texts), batch):
        group = texts[start : start + batch]
        target, drafts = laws(drafter, kept, group, None, passes)
        each = torch.stack([acceptance(target, draft) for draft in drafts], dim=-1).double().cpu()
        sizes = _side_by_side(group, drafter)[1].sum(dim=1).tolist()
        sums += [part.sum(dim=0).tolist() for part in each.split(sizes)]
        counts += sizes
    totals, size = np.array(sums), np.array(counts)
    means = totals.sum(axis=0) / size.sum()
    clusters = len(texts)
    off = totals[:, 0] - means[0] * size
    scatter = float((off**2).sum()) * clusters / max(1, clusters - 1)
    found = {
        "mean": float(means[0]),
        "standard_error": math.sqrt(scatter) / float(size.sum()),
        "positions": int(size.sum()),
    }
    return found | ({"in_a_row": means.tolist()} if drafter.recipe.follows else {})


def _padded(texts: Sequence[Text]) -> torch.Tensor:
    """``(B, T)`` tokens of each text but its last; nothing follows that one.

    Padding stands behind the text, where a causal model does not look.
    """
    tokens = [torch.from_numpy(text.tokens[:-1]) for text in texts]
    return torch.nn.utils.rnn.pad_sequence(tokens, batch_first=True)


def _side_by_side(
    texts: Sequence[Text], drafter: DistilledDrafter
) -> tuple[torch.Tensor, torch.Tensor]:
    """``(B, T)`` tokens, and behind which of them a generated token is drafted."""
    tokens = _padded(texts)
    wanted = torch.zeros(tokens.shape, dtype=torch.bool)
    for row, text in enumerate(texts):
        wanted[row, max(text.prompt - 1, int(drafter.recipe.follows)) : len(text.tokens) - 1] = True
    device = drafter.target.module.device
    return tokens.to(device), wanted.to(device)


def _body_states(module: Any, tokens: torch.Tensor) -> torch.Tensor:
    state: torch.Tensor = module.base_model(input_ids=tokens, use_cache=False).last_hidden_state
    return state


def _started(plan: Distillation, target: TransformerModel) -> DistilledDrafter:
    """The drafter to train on from.

    Raises:
        InputError: it has another recipe.
    """
    assert plan.start is not None
    drafter = whole_head(load_drafter(Path(plan.start).expanduser(), target))
    if drafter.recipe != plan.recipe:
        raise InputError(
            f"`start` is {plan.start}, a drafter of {drafter.recipe}; the plan asks for "
            f"{plan.recipe}"
        )
    return drafter


def _check(plan: Distillation, target: TransformerModel) -> None:
    named(LOSSES, plan.loss, "loss")
    if plan.batch < 1 or plan.training.steps < 1:
        raise InputError(
            f"`batch`, `steps` are {plan.batch}, {plan.training.steps}; expected integers >= 1"
        )
    if plan.tokens is not None and not 1 <= plan.tokens <= target.vocab_size:
        raise InputError(
            f"`tokens` is {plan.tokens}; expected 1 to {target.vocab_size}, the vocabulary of "
            f"`{target.name}`"
        )
    of_training = [plan.corpus, *(corpus for _, corpus in _also(plan))]
    trained = {_one_name(source) for corpus in of_training for source in corpus.sources}
    shared = trained & set(map(_one_name, plan.held_out.sources))
    if shared:
        raise InputError(
            f"prompts from {', '.join(sorted(shared))} would be trained on and held out; the "
            "acceptance reported would be of texts the drafter has seen"
        )


def _one_name(source: str) -> str:
    """A file's whole path, however it was written."""
    return str(Path(source).resolve()) if Path(source).is_file() else source


def _about(
    target: TransformerModel, plan: Distillation, texts: Sequence[Text], started: str
) -> str:
    """What the trained weights depend on beside the settings of the training itself.

    Args:
        texts: that they are trained on.
        started: fingerprint of the weights before.
    """
    weights = fingerprint(target.module)
    settings = asdict(plan) | {"target": target.name, "started": started}
    settings |= {"weights": weights, "read": _digest(weights, texts)}
    del settings["training"], settings["held_out"]
    return json.dumps(settings, sort_keys=True)


def _digest(weights: str, texts: Sequence[Text]) -> str:
    """Names what a target's pass over some texts gives."""
    digest = hashlib.sha256(weights.encode())
    for text in texts:
        digest.update(f"{len(text.tokens)} {text.prompt}".encode())
        digest.update(text.tokens.astype("<i8").tobytes())
    return digest.hexdigest()[:16]
