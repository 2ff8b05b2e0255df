r"""A server under audit: what it answered, turned into a stream of tokens and log-probabilities.

Ask for completions with log-probabilities of the top tokens, keep the JSON responses one a line,
and turn them into the stream that ``spectheory audit --stream`` reads::

    python -m spectheory.adapters.completions answers.jsonl stream.jsonl \
        --vocab-size 128256 --top 20

What the audit then tests is whether the emitted tokens follow the log-probabilities that the server
states for them. So these must be those that it samples from: ask at temperature 1 without top-p,
top-k or penalties, or have the server report processed log-probabilities. Tokens must be named by
id (vLLM: ``"return_tokens_as_token_ids": true``), or by strings that a tokenizer maps back.

Ask chat for two tokens more than are wanted: the last two that it lists may depend on the draw, and
are left out.

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

    Servers list the sampled token beside the ``top`` most probable ones, or in place of one. Only
    what follows from the law alone is kept (`completion_law`, `chat_law`), or the audit is void.

    Args:
        responses: parsed bodies of ``/v1/completions`` or ``/v1/chat/completions``.
        vocab_size: V.
        top: how many most probable tokens were asked for; in chat 3 or more.
        to_id: token name to id.

    Raises:
        InputError: a response without log-probabilities, or whose lists cannot be those of the
            ``top`` most probable tokens.

    >>> place = {"token_id:3": -0.5, "token_id:1": -1.5, "token_id:7": -4.0}
    >>> answer = {"id": "a", "choices": [{"logprobs": {
    ...     "tokens": ["token_id:7"], "top_logprobs": [place]}}]}
    >>> for line in stream_lines([answer], vocab_size=9, top=2):
    ...     print(line)
    {'vocab_size': 9}
    {'request': 'a/0', 'tokens': [7], 'target': [{'ids': [3, 1], 'logprobs': [-0.5, -1.5]}]}
    """
    if top < 1:
        raise InputError(f"`top` is {top}; expected how many tokens were asked for, 1 or more")
    yield {"vocab_size": vocab_size}
    for number, response in enumerate(responses):
        request = str(response.get("id", number))
        for index, choice in enumerate(response.get("choices") or ()):
            chat, places = _places(request, choice)
            for token, listed in places:
                for name, value in listed.items():
                    if not isinstance(value, (int, float)):
                        raise InputError(
                            f"response {request} states {value!r} for {name!r}; expected its "
                            "log-probability"
                        )
                try:
                    ranked = (chat_law if chat else completion_law)(token, listed, top)
                except InputError as error:
                    raise InputError(f"response {request} {error}") from error
                law = {
                    "ids": [to_id(name) for name, _ in ranked],
                    "logprobs": [value for _, value in ranked],
                }
                yield {"request": f"{request}/{index}", "tokens": [to_id(token)], "target": [law]}


def completion_law(token: str, listed: Mapping[str, float], top: int) -> list[tuple[str, float]]:
    """The ``top`` most probable tokens, in descending order: the list without its extra one.

    A list one longer holds the sampled token because it is not among the others, whatever its value
    (it may tie with the last of them). A list of ``top`` tokens has no extra one.

    Args:
        token: the sampled one.
        listed: log-probabilities by name.
        top: how many were asked for.

    Raises:
        InputError: another number of tokens, or an extra one that cannot be the sampled token.

    >>> completion_law("c", {"c": -2.0, "a": -0.5, "b": -2.0}, top=2)
    [('a', -0.5), ('b', -2.0)]
    """
    if len(listed) not in (top, top + 1):
        raise InputError(
            f"lists {len(listed)} tokens at one place; `top` is {top}, which gives {top}, or one "
            "more with the sampled token. Ask the server for that many, or state how many were "
            "asked for"
        )
    extra = {token} if len(listed) > top else ()
    others = {name: value for name, value in listed.items() if name not in extra}
    if len(others) > top or (extra and listed[token] > min(others.values())):
        raise InputError(
            f"lists {top + 1} tokens at one place, and the sampled token is not the least probable "
            f"of them; `top` is {top}. Were {top + 1} asked for?"
        )
    return sorted(others.items(), key=lambda one: (-one[1], one[0]))


def chat_law(token: str, listed: Mapping[str, float], top: int) -> list[tuple[str, float]]:
    """The tokens more probable than the one of rank ``top - 1``, in descending order.

    vLLM cuts a chat answer's list to ``top`` entries with the sampled token first, so of the tokens
    behind rank ``top - 1`` it shows one: that of rank ``top``, or the sampled token in its place.
    Whether rank ``top - 1`` ties with rank ``top`` is then seen after some draws only. What lies
    strictly above is listed after every draw.

    Args:
        token: the sampled one.
        listed: log-probabilities by name.
        top: how many were asked for, 3 or more.

    Raises:
        InputError: see `completion_law`, or ``top`` is too small for anything to lie above.

    >>> chat_law("d", {"d": -4.0, "a": -0.5, "b": -2.0}, top=3)  # cut: c was of rank 3
    [('a', -0.5)]
    >>> chat_law("b", {"b": -2.0, "a": -0.5, "c": -3.0}, top=3)
    [('a', -0.5)]
    """
    if top < 3:
        raise InputError(
            f"is a chat answer and `top` is {top}; the last two of its list may depend on the "
            "sampled token, so ask for 3 or more"
        )
    ranked = completion_law(token, listed, top)
    return [(name, value) for name, value in ranked if value > ranked[top - 2][1]]


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


def _places(
    request: str, choice: Mapping[str, Any]
) -> tuple[bool, list[tuple[str, dict[str, float]]]]:
    """Whether it is chat, and each emitted token with the log-probabilities listed at its place."""
    found = choice.get("logprobs") or {}
    if found.get("content"):
        return True, [
            (
                place["token"],
                {one["token"]: one["logprob"] for one in place.get("top_logprobs") or ()},
            )
            for place in found["content"]
        ]
    if found.get("tokens") and found.get("top_logprobs"):
        if len(found["tokens"]) != len(found["top_logprobs"]) or None in found["top_logprobs"]:
            raise InputError(
                f"response {request} states no `top_logprobs` for some of its tokens. Of a prompt "
                "that was echoed? Ask for the completion alone"
            )
        return False, list(zip(found["tokens"], found["top_logprobs"], strict=True))
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
