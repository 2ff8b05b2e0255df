"""A codebook of 2x2 patches: images as 16 token ids, by k-means."""

from __future__ import annotations

import numpy as np

from spectheory.digits.data import PIXELS, TOKENS
from spectheory.errors import MissingDependency, ShapeError, TokenError


def fit_codebook(patches: np.ndarray, size: int, seed: int = 0) -> np.ndarray:
    """``(size, 4)`` float32 centres of the patches by k-means, darkest last.

    Args:
        patches: ``(n, 16, 4)`` tokens of images.
        size: number of codes V.
        seed: of k-means.

    Raises:
        MissingDependency: scikit-learn is not installed.
    """
    try:
        from sklearn.cluster import KMeans
    except ImportError as error:
        raise MissingDependency(
            "a codebook is fitted by scikit-learn: pip install 'spectheory[images]'"
        ) from error
    points = patches.reshape(-1, PIXELS).astype(np.float64)
    fitted = KMeans(size, n_init=4, random_state=seed).fit(points)
    centres: np.ndarray = fitted.cluster_centers_.astype(np.float32)
    return centres[np.argsort(centres.sum(axis=1), kind="stable")]


def encode(patches: np.ndarray, codebook: np.ndarray) -> np.ndarray:
    """``(...)`` id of the code nearest to each patch ``(..., 4)``.

    >>> encode(np.array([[0.9, 0, 0, 0], [0.1, 0.9, 0, 0]]), np.eye(2, 4)[::-1]).tolist()
    [1, 0]
    """
    if patches.shape[-1] != codebook.shape[-1]:
        raise ShapeError(
            f"`patches` has shape {patches.shape}, the codebook entries of {codebook.shape[-1]} "
            "pixels"
        )
    offsets = patches[..., None, :] - codebook
    ids: np.ndarray = (offsets**2).sum(axis=-1).argmin(axis=-1)
    return ids


def decode(tokens: np.ndarray, codebook: np.ndarray) -> np.ndarray:
    """``(..., 16, 4)`` patches of token ids ``(..., 16)``.

    Raises:
        TokenError: ids outside the codebook, or not 16 of them.
    """
    ids = np.asarray(tokens)
    if ids.shape[-1] != TOKENS or ids.min() < 0 or ids.max() >= len(codebook):
        raise TokenError(
            f"`tokens` has shape {ids.shape} and ids {ids.min()} to {ids.max()}; expected "
            f"(..., {TOKENS}) ids below {len(codebook)}"
        )
    return codebook[ids]


def cluster(codebook: np.ndarray, groups: int, seed: int = 0) -> np.ndarray:
    """``(V,)`` group of each code: a k-means partition of the codebook into ``groups``.

    >>> labels = cluster(np.array([[0.0], [1.0], [2.0], [10.0], [11.0], [12.0]]), 2)
    >>> bool((labels[:3] == labels[0]).all() and (labels[3:] == labels[5]).all())
    True
    """
    from sklearn.cluster import KMeans

    if groups >= len(codebook):
        return np.arange(len(codebook))
    labels: np.ndarray = KMeans(groups, n_init=4, random_state=seed).fit_predict(codebook)
    return labels.astype(np.int64)
