"""Local resampling of images: only the neighbourhood of a refused token is drawn again. Lossy.

The whole image is drafted and verified in one pass, every token under the drafted tokens before it.
Refused tokens are replaced, tokens around them are drawn from the target in raster order, separate
islands side by side, and everything else is kept although its context has changed. That last step
is the bias: cutting at the first refused token would be exact, and so is this where tokens are
independent. It has no closed form; `local_law` computes it.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import product
from typing import Any

import numpy as np

from spectheory.decoding.fixed_length import (
    Generated,
    SequenceModel,
    check_same_shape,
    plain_decode,
)
from spectheory.errors import InputError, TooLarge
from spectheory.verdict import inverse_transform
from spectheory.verification.rule import VerificationRule

STATE_LIMIT = 100_000
"""`local_law` refuses more drafts with refusals than this."""


def turns(refused: np.ndarray, radius: int, shape: tuple[int, int]) -> np.ndarray:
    """``(n, L)`` in which pass after the first each token is drawn again; 0 for never.

    The tokens within ``radius`` of a refused one (in rows and in columns) are cut into 8-connected
    islands; each island takes one token a pass, in raster order.

    Args:
        refused: ``(n, L)`` booleans.
        radius: 0 for the refused tokens alone.
        shape: rows and columns of the image.

    >>> turns(np.array([[True, False, False, False, True, False]]), 0, (1, 6)).tolist()
    [[1, 0, 0, 0, 1, 0]]
    >>> turns(np.array([[True, False, False, False, True, False]]), 1, (1, 6)).tolist()
    [[1, 2, 0, 1, 2, 3]]
    """
    from scipy.ndimage import label, maximum_filter

    grids = refused.reshape(-1, *shape).astype(np.uint8)
    again = maximum_filter(grids, size=(1, 2 * radius + 1, 2 * radius + 1), mode="constant")
    touching = np.zeros((3, 3, 3), dtype=int)
    touching[1] = 1  # within an image only
    islands = label(again, structure=touching)[0].ravel()
    order = np.argsort(islands, kind="stable")
    counts = np.bincount(islands)
    turn = np.zeros(islands.size, dtype=np.int64)
    turn[order] = np.arange(islands.size) - np.repeat(np.cumsum(counts) - counts, counts) + 1
    turn[islands == 0] = 0
    return turn.reshape(refused.shape)


def local_decode(
    target: SequenceModel,
    draft: SequenceModel,
    count: int,
    rule: VerificationRule,
    generator: np.random.Generator,
    shape: tuple[int, int],
    radius: int = 1,
) -> Generated:
    """Draw ``count`` images with local resampling; the law is `local_law`, not the target's.

    Args:
        target: the model that verifies and resamples.
        draft: the model that drafts every token.
        count: number of images.
        rule: any rule for one draft; a refused token is drawn from its residual law.
        generator: the only source of randomness.
        shape: rows and columns of an image.
        radius: of the neighbourhood that is drawn again.

    Raises:
        InputError: models of other shapes, or images that are not of that shape.

    Reference: peruzzo2026multi, local rejection and resampling; drawing a refused token from the
    residual is ours.
    """
    _check(target, draft, shape, radius)
    length, rows = target.length, np.arange(count)
    tokens = plain_decode(draft, count, generator).tokens
    verdict = rule.verdict(target.laws(tokens, rows), draft.laws(tokens, rows), tokens[..., None])
    draw = verdict.sample(generator.random((count, length, 2)))
    refused = draw.slot == 1
    turn = turns(refused, radius, shape)
    calls = np.ones(count, dtype=np.int64)
    for step in range(1, int(turn.max(initial=0)) + 1):
        mine = turn == step
        fresh = mine & ~refused  # these need a pass; refused tokens have their replacement
        rows = np.flatnonzero(fresh.any(axis=1))
        if rows.size:
            laws = target.laws(tokens[rows], rows)[fresh[rows]]
            tokens[fresh] = inverse_transform(laws, generator.random(len(laws)))
            calls[rows] += 1
        tokens[mine & refused] = draw.token[mine & refused]
    kept = (turn == 0).sum(axis=1)
    return Generated(tokens, calls, np.full(count, length), kept)


def local_law(
    target: SequenceModel,
    draft: SequenceModel,
    rule: VerificationRule,
    shape: tuple[int, int],
    radius: int,
) -> dict[tuple[int, ...], Any]:
    """Probability of every image that `local_decode` can put out, by enumeration.

    Exact on models of Fractions.

    Raises:
        TooLarge: more than `STATE_LIMIT` drafts with refusals.
    """
    _check(target, draft, shape, radius)
    length, size = target.length, target.vocab_size
    if (2 * size) ** length > STATE_LIMIT:
        raise TooLarge(
            f"{size} tokens at {length} places give {(2 * size) ** length:,} drafts with refusals, "
            f"above the limit of {STATE_LIMIT:,}"
        )
    law: dict[tuple[int, ...], Any] = defaultdict(int)
    for text in product(range(size), repeat=length):
        tokens = np.array([text])
        p, q = target.laws(tokens, np.arange(1))[0], draft.laws(tokens, np.arange(1))[0]
        drafted = np.prod([q[i, t] for i, t in enumerate(text)])
        if not drafted:
            continue
        verdict = rule.verdict(p, q, tokens[0][:, None])
        for refused in product((False, True), repeat=length):
            accept = verdict.accept[:, 0]
            mass = drafted * np.prod(np.where(refused, 1 - accept, accept))
            if mass:
                turn = turns(np.array([refused]), radius, shape)[0]
                resampled = _resampled(target, text, refused, verdict.residual, turn)
                for image, chance in resampled.items():
                    law[image] += mass * chance
    return dict(law)


def _resampled(
    target: SequenceModel,
    text: tuple[int, ...],
    refused: tuple[bool, ...],
    residual: np.ndarray,
    turn: np.ndarray,
) -> dict[tuple[int, ...], Any]:
    """Law of the image once every token has had its turn."""
    images: dict[tuple[int, ...], Any] = {text: 1}
    for step in range(1, int(turn.max()) + 1):
        later: dict[tuple[int, ...], Any] = defaultdict(int)
        places = np.flatnonzero(turn == step)
        for image, mass in images.items():
            laws = target.laws(np.array([image]), np.arange(1))[0]
            choices = [residual[i] if refused[i] else laws[i] for i in places]
            for drawn in product(*(np.flatnonzero(law) for law in choices)):
                new = list(image)
                chance = mass
                for place, token, law in zip(places, drawn, choices, strict=True):
                    new[place] = int(token)
                    chance = chance * law[token]
                later[tuple(new)] += chance
        images = later
    return images


def _check(
    target: SequenceModel, draft: SequenceModel, shape: tuple[int, int], radius: int
) -> None:
    check_same_shape(target, draft)
    if shape[0] * shape[1] != target.length:
        raise InputError(f"`shape` is {shape}, but the models have {target.length} tokens")
    if radius < 0:
        raise InputError(f"`radius` is {radius}; expected 0 or more")
