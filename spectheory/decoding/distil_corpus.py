"""Text that a target generates, for a drafter to be trained and measured on; resumable.

Imports torch: load this module where a model is run.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spectheory.decoding.decoder import Decoder, Request
from spectheory.decoding.fingerprint import fingerprint
from spectheory.decoding.prompts import prompts, spread, stdlib_source
from spectheory.decoding.storage import written_whole
from spectheory.errors import InputError

if TYPE_CHECKING:
    from spectheory.decoding.transformer import TransformerModel

EXCERPT = 8
"""Characters of an excerpt for each prompt token, enough in nearly all texts."""


NOTE = "corpus.json"
"""Beside the texts: what they are."""


class Text(NamedTuple):
    """A prompt and what the target made of it.

    Attributes:
        tokens: ``(T,)`` int64, prompt first.
        prompt: how many of them are the prompt's.
    """

    tokens: np.ndarray
    prompt: int


@dataclass(frozen=True)
class Corpus:
    """Which texts a target is to generate, at temperature 1.

    Attributes:
        sources: where prompts come from, taken in turn. ``stdlib``: excerpts of the interpreter's
            own source; ``topics``: of its English help texts; ``start``: the token that begins a
            text, alone, so that the target chooses the subject; a registered prompt set: the
            starts of its texts, spread evenly; a file of UTF-8 text: excerpts.
        texts: how many.
        prompt_tokens: most tokens of a prompt.
        new_tokens: most tokens behind it; fewer where the target ends the text.
        together: texts generated, and written, at once.
        seed: of the excerpts and of the sampling.
    """

    sources: tuple[str, ...]
    texts: int
    prompt_tokens: int = 64
    new_tokens: int = 128
    together: int = 64
    seed: int = 0


def generated(
    target: TransformerModel,
    corpus: Corpus,
    folder: Path,
    progress: Callable[[float], None] = lambda _: None,
) -> list[Text]:
    """The texts, generating those that the folder does not hold yet.

    Every text has random numbers of its own, so a run that was killed and goes on writes the same
    files as one that was not.

    Args:
        target: the model.
        corpus: see `Corpus`.
        folder: one file for each ``corpus.together`` texts; none is ever half-written.
        progress: called with the number of texts there are.

    Raises:
        InputError: the folder holds another corpus, or texts from prompts that their source does
            not give any more, or a prompt has no text.
        SourceUnavailable: a prompt set cannot be had.
    """
    asked = prompt_tokens(target, corpus)  # sources that there are, before the folder is theirs
    of = {"target": target.name, "weights": fingerprint(target.module)}
    _claim(folder, {**of, **asdict(corpus)})
    texts: list[Text] = []
    for start in range(0, corpus.texts, corpus.together):
        file = folder / f"{start:06}.npz"
        if not file.exists():
            requests = [
                Request(asked[i], corpus.new_tokens, _seed(corpus.seed, i), stop=target.end_tokens)
                for i in range(start, min(start + corpus.together, corpus.texts))
            ]
            done = Decoder(target, batch=corpus.together).generate(requests)
            _write(file, requests, [one.tokens for one in done])
        texts += _read(file)
        for text, prompt in zip(texts[start:], asked[start:], strict=False):
            if not np.array_equal(text.tokens[: text.prompt], prompt):
                raise InputError(
                    f"{file} holds texts from prompts that {', '.join(corpus.sources)} do not give "
                    f"any more; clear {folder} to write them anew"
                )
        progress(len(texts))
    return texts


def corpus_of(folder: Path) -> Corpus:
    """The corpus whose texts a folder holds.

    Raises:
        InputError: it holds none.
    """
    try:
        settings = json.loads((folder / NOTE).read_text())
        del settings["target"], settings["weights"]
        return Corpus(**settings | {"sources": tuple(settings["sources"])})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{folder} holds no texts that a target generated") from error


def prompt_tokens(target: TransformerModel, corpus: Corpus) -> list[np.ndarray]:
    """Token ids of each text's prompt.

    Raises:
        InputError: a source without text.
    """
    turns = [corpus.sources[i % len(corpus.sources)] for i in range(corpus.texts)]
    of_source = {
        source: iter(_asked(source, turns.count(source), target, corpus)) for source in set(turns)
    }
    asked = [next(of_source[source]) for source in turns]
    for source, tokens in zip(turns, asked, strict=True):
        if not len(tokens):
            raise InputError(f"a prompt from `{source}` has no tokens")
    return asked


def _asked(source: str, number: int, target: TransformerModel, corpus: Corpus) -> list[np.ndarray]:
    """The prompts from one source."""
    if source != "start":
        starts = _starts(source, number, corpus)
        return [target.encode(text)[: corpus.prompt_tokens] for text in starts]
    first = getattr(target.tokenizer, "bos_token_id", None)
    if first is None:
        raise InputError(f"`{target.name}` has no token that begins a text, which `start` asks for")
    return [np.array([first])] * number


def _starts(source: str, number: int, corpus: Corpus) -> list[str]:
    """Texts to take prompts from; a set that is too small is gone through again."""
    text = _long_text(source)
    if text is None:
        whole = prompts(source)
        chosen = spread(len(whole), number)
        return [whole[chosen[i % len(chosen)]] for i in range(number)]
    lines = [i + 1 for i, character in enumerate(text[:-1]) if character == "\n"] or [0]
    rng = np.random.default_rng([corpus.seed, *source.encode()])
    length = EXCERPT * corpus.prompt_tokens
    last = np.searchsorted(lines, max(len(text) - length, 1))  # a whole excerpt behind each start
    picked = rng.integers(max(1, int(last)), size=number)
    return [text[lines[i] : lines[i] + length] for i in picked]


def _long_text(source: str) -> str | None:
    if source == "stdlib":
        return stdlib_source()
    if source == "topics":
        from pydoc_data.topics import topics

        return "\n".join(topics.values())
    if Path(source).is_file():
        try:
            return Path(source).read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"prompt source {source} is not UTF-8 text") from error
    return None


def _seed(seed: int, text: int) -> int:
    state = np.random.SeedSequence([seed, text]).generate_state(1, np.uint64)
    return int(state[0])


def _claim(folder: Path, settings: dict[str, object]) -> None:
    """Note what the folder is for; refuse one that is for something else."""
    folder.mkdir(parents=True, exist_ok=True)
    note, text = folder / NOTE, json.dumps(settings, indent=1)
    if not note.exists():
        with written_whole(note) as scratch:
            scratch.write_text(text)
    elif note.read_text() != text:
        raise InputError(
            f"{folder} holds texts of other settings ({note.name} says which); name another "
            "folder, or delete it"
        )


def _write(file: Path, requests: Sequence[Request], made: Sequence[Sequence[int]]) -> None:
    rows = [np.append(request.prompt, new) for request, new in zip(requests, made, strict=True)]
    with written_whole(file) as scratch:
        np.savez(
            scratch,
            tokens=np.concatenate(rows).astype(np.int32),
            lengths=[len(row) for row in rows],
            prompts=[len(request.prompt) for request in requests],
        )


def _read(file: Path) -> list[Text]:
    with np.load(file, allow_pickle=False) as saved:
        rows = np.split(saved["tokens"].astype(np.int64), np.cumsum(saved["lengths"])[:-1])
        return [Text(row, int(n)) for row, n in zip(rows, saved["prompts"], strict=True)]
