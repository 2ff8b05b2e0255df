"""Logs the next-token logits of a target and its drafts at the same positions of real text.

Everything that is measured on target and draft laws alone (overlaps, acceptance of any rule) can
then be redone from one file, without the models.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from spectheory.decoding.model import LanguageModel, check_tokens
from spectheory.decoding.progress import progress
from spectheory.errors import InputError, TokenError, VocabularyMismatch

Source = LanguageModel | Callable[[], LanguageModel]
"""A model, or a function that builds it when its turn comes."""


@dataclass(frozen=True)
class LoggedLogits:
    """Logits of several models at n positions.

    Attributes:
        target: ``(n, V)`` float32.
        drafts: ``(n, V)`` float32 by draft name.
        prompt: ``(n,)`` index of the prompt.
        position: ``(n,)`` row t: the logits belong to the token after ``tokens[:t + 1]``.
        next_token: ``(n,)`` the token that follows in the text; -1 at its end.
        meta: model names, versions, seed.
    """

    target: np.ndarray
    drafts: dict[str, np.ndarray]
    prompt: np.ndarray
    position: np.ndarray
    next_token: np.ndarray
    meta: dict[str, Any]

    def save(self, path: Path | str) -> Path:
        """Write an uncompressed ``.npz``; returns its path."""
        path = Path(path)
        if path.suffix != ".npz":
            path = path.with_name(f"{path.name}.npz")
        arrays: dict[str, Any] = {
            "target": self.target,
            "prompt": self.prompt,
            "position": self.position,
            "next_token": self.next_token,
            "meta": np.array(json.dumps({**self.meta, "drafts": list(self.drafts)})),
        }
        arrays |= {f"draft_{i}": logits for i, logits in enumerate(self.drafts.values())}
        scratch = path.with_name(f".{path.stem}.partial.npz")
        np.savez(scratch, **arrays)
        scratch.replace(path)
        return path

    @classmethod
    def load(cls, path: Path | str) -> LoggedLogits:
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as file:
            meta = json.loads(str(file["meta"]))
            return cls(
                target=file["target"],
                drafts={name: file[f"draft_{i}"] for i, name in enumerate(meta.pop("drafts"))},
                prompt=file["prompt"],
                position=file["position"],
                next_token=file["next_token"],
                meta=meta,
            )


def logged_logits(
    target: Source,
    drafts: Mapping[str, Source],
    prompts: Sequence[str] | Sequence[np.ndarray],
    positions: int,
    seed: int = 0,
    *,
    skip: int = 8,
    longest: int = 512,
) -> LoggedLogits:
    """Run target and drafts over the prompts, teacher-forced, and keep evenly spread rows.

    Where models are given as functions, one is in memory at a time (unless they share weights).

    Args:
        target: the model or its builder.
        drafts: models or builders, by the name under which they are logged.
        prompts: texts, or token arrays of the target's tokenizer.
        positions: rows to keep, n, over all prompts together.
        seed: where in the first gap the even spread starts.
        skip: tokens at the start of a prompt that are not logged, for want of context.
        longest: prompts are cut after this many tokens.

    Raises:
        InputError: fewer positions in the prompts than asked for.
        TokenError: text given, but the target has no tokenizer.
        VocabularyMismatch: a draft with another vocabulary size or tokenizer.
    """
    if positions < 1 or skip < 0:
        raise InputError(f"`positions`, `skip` are {positions}, {skip}; expected >= 1, >= 0")
    model = _built(target)
    texts = [_tokens(model, prompt)[:longest] for prompt in prompts]
    rows = _spread([len(text) for text in texts], positions, skip, seed)
    target_name, vocab_size = model.name, model.vocab_size
    of_target = _rows(model, texts, rows)
    of_drafts: dict[str, np.ndarray] = {}
    draft_models: dict[str, str] = {}
    for name, source in drafts.items():
        del model  # before the next is built
        model = _built(source)
        _check_draft(model, name, vocab_size, prompts, texts)
        draft_models[name] = model.name
        of_drafts[name] = _rows(model, texts, rows)
    prompt, position = rows.T
    following = [int(texts[i][t + 1]) if t + 1 < len(texts[i]) else -1 for i, t in rows.tolist()]
    meta = {
        "target": target_name,
        "vocab_size": vocab_size,
        "draft_models": draft_models,
        "seed": seed,
        "skip": skip,
        "longest": longest,
        "prompts": len(texts),
        "versions": _versions(),
    }
    return LoggedLogits(of_target, of_drafts, prompt, position, np.array(following), meta)


def _built(source: Source) -> LanguageModel:
    if isinstance(source, LanguageModel):
        return source
    return source()


def _tokens(model: LanguageModel, prompt: str | np.ndarray) -> np.ndarray:
    if not isinstance(prompt, str):
        return check_tokens(prompt, model.vocab_size)
    if not hasattr(model, "encode"):
        raise TokenError(f"`prompts` holds text, but model `{model.name}` has no tokenizer")
    return check_tokens(model.encode(prompt), model.vocab_size)


def _check_draft(
    model: LanguageModel, name: str, vocab_size: int, prompts: Sequence[Any], texts: list[Any]
) -> None:
    """Refuse a draft whose token ids mean something else than the target's."""
    if model.vocab_size != vocab_size:
        raise VocabularyMismatch(
            f"draft `{name}` is over {model.vocab_size} tokens, the target over {vocab_size}"
        )
    if isinstance(prompts[0], str) and hasattr(model, "encode"):
        own = model.encode(prompts[0])[: len(texts[0])]
        if not np.array_equal(own, texts[0]):
            raise VocabularyMismatch(f"draft `{name}` has another tokenizer than the target")


def _spread(lengths: list[int], positions: int, skip: int, seed: int) -> np.ndarray:
    """``(n, 2)`` pairs of prompt and row, evenly apart in the prompts laid end to end."""
    eligible = [(i, t) for i, length in enumerate(lengths) for t in range(skip, length)]
    if positions > len(eligible):
        raise InputError(
            f"`positions` is {positions}, but the prompts have {len(eligible)} positions after "
            f"the first {skip} tokens of each; give more prompts"
        )
    offset = np.random.default_rng(seed).random()
    chosen = ((np.arange(positions) + offset) * len(eligible) / positions).astype(np.int64)
    return np.array(eligible)[chosen]


def _rows(model: LanguageModel, texts: list[np.ndarray], rows: np.ndarray) -> np.ndarray:
    """``(n, V)`` logits of the chosen rows; prompts without one are not run."""
    logged = np.empty((len(rows), model.vocab_size), np.float32)
    with progress(f"logits of {model.name}", len(texts)) as show:
        for i, text in enumerate(texts):
            here = rows[:, 0] == i
            if here.any():
                # Later tokens change nothing, so the pass ends at the last row wanted.
                last = int(rows[here, 1].max())
                logged[here] = model.logits(text[: last + 1])[rows[here, 1]]
            show(i + 1)
    return logged


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in ("spectheory", "numpy", "torch", "transformers"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
