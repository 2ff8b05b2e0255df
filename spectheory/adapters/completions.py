r"""A server under audit: what it answered, turned into a stream of tokens and log-probabilities.

Ask for completions with log-probabilities of the top tokens, keep the JSON responses one a line,
and turn them into the stream that ``spectheory audit --stream`` reads::

    python -m spectheory.adapters.completions answers.jsonl stream.jsonl \
        --vocab-size 128256 --top 20

What the audit then tests is whether the emitted tokens follow the log-probabilities that the server
states for them. So these must be those that it samples from: ask at temperature 1 without top-p,
top-k or penalties, or have the server report processed log-probabilities. Tokens must be named by
id (vLLM: ``"return_tokens_as_token_ids": true``), or by strings that a tokenizer maps back.

A response does not tell the steps of speculation, so each token counts as a step without drafts.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from spectheory.errors import InputError

PREFIX = "token_id:"


def token_id(name: str) -> int:
    """The id in ``token_id:123``.

    Raises:
        InputError: a token named otherwise.

    >>> token_id("token_id:123")
    123
    """
    if not name.startswith(PREFIX) or not name.removeprefix(PREFIX).isdecimal():
        raise InputError(
            f"token {name!r} is not named by its id; ask the server for ids "
            '(vLLM: "return_tokens_as_token_ids": true), or map strings with a tokenizer'
        )
    return int(name.removeprefix(PREFIX))


def stream_lines(
    responses: Iterable[Mapping[str, Any]],
    vocab_size: int,
    top: int,
    to_id: Callable[[str], int] = token_id,
) -> Iterator[dict[str, Any]]:
    """The lines of the stream, the first with the size of the vocabulary.

    Servers list the sampled token beside the ``top`` most probable ones. It is left out here unless
    it is one of them: which tokens are listed must follow from the law alone, or the audit is void.

    Args:
        responses: parsed bodies of ``/v1/completions`` or ``/v1/chat/completions``.
        vocab_size: V.
        top: how many most probable tokens were asked for.
        to_id: token name to id.

    Raises:
        InputError: a response without log-probabilities, or with fewer than ``top``.

    >>> place = {"token_id:3": -0.5, "token_id:1": -1.5, "token_id:7": -4.0}
    >>> answer = {"id": "a", "choices": [{"logprobs": {
    ...     "tokens": ["token_id:7"], "top_logprobs": [place]}}]}
    >>> for line in stream_lines([answer], vocab_size=9, top=2):
    ...     print(line)
    {'vocab_size': 9}
    {'request': 'a/0', 'tokens': [7], 'target': [{'ids': [3, 1], 'logprobs': [-0.5, -1.5]}]}
    """
    yield {"vocab_size": vocab_size}
    for number, response in enumerate(responses):
        request = str(response.get("id", number))
        for index, choice in enumerate(response.get("choices") or ()):
            for token, listed in _places(request, choice):
                ranked = sorted(listed.items(), key=lambda one: -one[1])[:top]
                if len(ranked) < top:
                    raise InputError(
                        f"response {request} lists {len(ranked)} tokens at one place; `top` is "
                        f"{top}. Ask the server for that many, or state how many were asked for"
                    )
                law = {
                    "ids": [to_id(name) for name, _ in ranked],
                    "logprobs": [value for _, value in ranked],
                }
                yield {"request": f"{request}/{index}", "tokens": [to_id(token)], "target": [law]}


def write_stream(responses: Path, stream: Path, vocab_size: int, top: int) -> int:
    """Turn a file of responses into a stream; returns its tokens.

    Raises:
        InputError: see `stream_lines`, or a line that is not JSON.
    """
    count = -1  # the first line holds no token
    with open(stream, "w", encoding="utf-8") as out:
        for line in stream_lines(_read(responses), vocab_size, top):
            out.write(json.dumps(line) + "\n")
            count += 1
    return count


def _places(request: str, choice: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, float]]]:
    """Each emitted token with the log-probabilities listed at its place."""
    found = choice.get("logprobs") or {}
    if found.get("content"):  # chat
        for place in found["content"]:
            yield (
                place["token"],
                {one["token"]: one["logprob"] for one in place.get("top_logprobs") or ()},
            )
    elif found.get("tokens") and found.get("top_logprobs"):
        yield from zip(found["tokens"], found["top_logprobs"], strict=True)
    else:
        raise InputError(
            f"response {request} has no log-probabilities; ask for them with `logprobs` "
            "(completions) or `logprobs` and `top_logprobs` (chat)"
        )


def _read(path: Path) -> Iterator[Mapping[str, Any]]:
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            try:
                yield json.loads(line)
            except ValueError as error:
                raise InputError(f"{path}, line {number} is not JSON ({error})") from error


def main() -> None:
    """Read the command line, and write the stream."""
    parser = argparse.ArgumentParser(description="Completions with log-probabilities to a stream.")
    parser.add_argument("responses", type=Path)
    parser.add_argument("stream", type=Path)
    parser.add_argument("--vocab-size", type=int, required=True)
    parser.add_argument("--top", type=int, required=True, help="tokens asked for at each place")
    options = parser.parse_args()
    try:
        count = write_stream(options.responses, options.stream, options.vocab_size, options.top)
    except (InputError, OSError) as error:
        parser.exit(2, f"error: {error}\n")
    print(f"{count:,} tokens in {options.stream}")


if __name__ == "__main__":
    main()
