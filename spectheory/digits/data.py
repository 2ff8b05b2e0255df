"""The 8x8 digits of scikit-learn as sequences of 16 tokens of 2x2 pixels, in raster order."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import NamedTuple

import numpy as np

from spectheory.errors import InputError, MissingDependency, ShapeError

SIDE = 8
PATCH = 2
TOKENS = (SIDE // PATCH) ** 2
PIXELS = PATCH * PATCH
CLASSES = 10
HELD_OUT = 360
"""Images kept from training, the last of a fixed shuffle of all 1,797."""


class Digits(NamedTuple):
    """Images as tokens, with their digit.

    Attributes:
        tokens: ``(n, 16, 4)`` float32, pixels from -1 (paper) to 1 (ink).
        labels: ``(n,)`` int64, 0 to 9.
    """

    tokens: np.ndarray
    labels: np.ndarray


@cache
def digits(part: str = "train") -> Digits:
    """The digits of one part: ``"train"`` (1,437 images), ``"test"`` (360) or ``"all"``.

    Raises:
        InputError: another part.
        MissingDependency: scikit-learn is not installed.

    Reference: alpaydin1998optical.

    >>> digits("test").tokens.shape
    (360, 16, 4)
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise MissingDependency(
            "the digits come with scikit-learn: pip install 'spectheory[images]'"
        ) from error
    parts = {"train": slice(None, -HELD_OUT), "test": slice(-HELD_OUT, None), "all": slice(None)}
    if part not in parts:
        raise InputError(f"`part` is {part!r}; one of {', '.join(parts)}")
    bunch = load_digits()
    order = np.random.default_rng(0).permutation(len(bunch.target))[parts[part]]
    images = (bunch.images[order] / 8 - 1).astype(np.float32)
    found = Digits(to_tokens(images), bunch.target[order].astype(np.int64))
    for array in found:
        array.setflags(write=False)  # the cache hands the same arrays to everyone
    return found


def to_tokens(images: np.ndarray) -> np.ndarray:
    """Cut ``(..., 8, 8)`` images into ``(..., 16, 4)`` tokens, row by row of patches.

    >>> image = np.arange(64).reshape(8, 8)
    >>> to_tokens(image)[1].tolist()
    [2, 3, 10, 11]
    """
    if images.shape[-2:] != (SIDE, SIDE):
        raise ShapeError(f"`images` has shape {images.shape}; expected (..., {SIDE}, {SIDE})")
    cells = SIDE // PATCH
    blocks = images.reshape(*images.shape[:-2], cells, PATCH, cells, PATCH)
    return np.swapaxes(blocks, -3, -2).reshape(*images.shape[:-2], TOKENS, PIXELS)


def to_images(tokens: np.ndarray) -> np.ndarray:
    """The inverse of `to_tokens`.

    >>> image = np.arange(64).reshape(8, 8)
    >>> bool((to_images(to_tokens(image)) == image).all())
    True
    """
    if tokens.shape[-2:] != (TOKENS, PIXELS):
        raise ShapeError(f"`tokens` has shape {tokens.shape}; expected (..., {TOKENS}, {PIXELS})")
    cells = SIDE // PATCH
    blocks = tokens.reshape(*tokens.shape[:-2], cells, cells, PATCH, PATCH)
    return np.swapaxes(blocks, -3, -2).reshape(*tokens.shape[:-2], SIDE, SIDE)


def fingerprint(*arrays: np.ndarray) -> str:
    """Digest of what arrays hold, and of their shapes and dtypes.

    >>> fingerprint(np.zeros(2)) == fingerprint(np.zeros(2))
    True
    >>> fingerprint(np.zeros(2)) == fingerprint(np.zeros((2, 1)))
    False
    """
    found = hashlib.sha256()
    for array in arrays:
        found.update(repr((array.shape, array.dtype.str)).encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()
