"""How a loop hands out random numbers: fresh ones at every step, or by absolute position."""

from __future__ import annotations

import numpy as np


class Keys:
    """Accept uniforms and draft noise of a step, for many requests.

    With numbers keyed by position, a position that was drafted but not emitted is visited again
    with what it had before.

    Attributes:
        uniforms: ``(R, gamma)`` of this step's rows.
        noise: ``(R, gamma, V)`` Gumbel noise of this step's drafts.
    """

    uniforms: np.ndarray
    noise: np.ndarray

    def __init__(
        self, rng: np.random.Generator, *, keyed_uniforms: bool = False, keyed_noise: bool = False
    ) -> None:
        self._rng = rng
        self._keyed = {"uniforms": keyed_uniforms, "noise": keyed_noise}
        self._held: dict[str, np.ndarray] = {}
        self._moved: np.ndarray | None = None

    def draw(self, requests: int, gamma: int, size: int) -> None:
        """Set the numbers of the next step."""
        self.uniforms = self._next("uniforms", self._rng.random((requests, gamma)))
        self.noise = self._next("noise", self._rng.gumbel(size=(requests, gamma, size)))

    def advance(self, counts: np.ndarray) -> None:
        """Move each request on by the tokens that it emitted."""
        self._moved = counts

    def _next(self, name: str, fresh: np.ndarray) -> np.ndarray:
        if self._moved is not None and self._keyed[name]:
            held = self._held[name]
            place = self._moved[:, None] + np.arange(held.shape[1])
            old = place < held.shape[1]
            place = np.minimum(place, held.shape[1] - 1)
            if held.ndim == 3:
                old, place = old[..., None], place[..., None]
            fresh = np.where(old, np.take_along_axis(held, place, axis=1), fresh)
        self._held[name] = fresh
        return fresh
