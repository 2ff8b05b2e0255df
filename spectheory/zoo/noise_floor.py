"""A race of exponentials that cannot be arbitrarily early, so it never lets the tail win."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from spectheory.audit.sampler import Draws, categorical
from spectheory.distributions import from_logits
from spectheory.zoo.entry import ZooEntry

FLOAT32_FLOOR = 2.0**-24
TAIL, DEPTH = 262_144, 20.5


class FloorRace(NamedTuple):
    """``argmin_x max(E_x, floor) / p(x)`` with independent exponentials E.

    Token x is not there before its start ``c = floor / p``; at c it arrives with probability
    ``1 - exp(-floor)``, and from then on at rate p. With tokens by falling p and P_j the mass of
    the first j, nobody has arrived by time s in [c_j, c_{j+1}) with probability ``exp(-s P_j)``.

    Attributes:
        order: ``(m,)`` tokens by falling p.
        running: ``(m,)`` P.
        atoms: ``(m,)`` probability that the token wins at its start.
        pieces: ``(m,)`` probability that one of the first j wins between starts j and j + 1.
    """

    order: np.ndarray
    running: np.ndarray
    atoms: np.ndarray
    pieces: np.ndarray

    @classmethod
    def over(cls, law: np.ndarray, floor: float) -> FloorRace:
        """The race for a ``(V,)`` law."""
        order = np.argsort(-law, kind="stable")
        order = order[law[order] > 0]
        running = np.cumsum(law[order])
        starts = floor / law[order]
        left = np.exp(-starts * running)  # just after each start
        atoms = np.exp(-starts * (running - law[order])) * -np.expm1(-floor)
        later = np.append(np.exp(-starts[1:] * running[:-1]), 0.0)
        return cls(order, running, atoms, np.maximum(left - later, 0))

    def law(self, size: int) -> np.ndarray:
        """``(V,)`` law of the winner."""
        rates = np.diff(self.running, prepend=0.0)
        shares = np.cumsum((self.pieces / self.running)[::-1])[::-1]
        law = np.zeros(size)
        law[self.order] = self.atoms + rates * shares
        return law

    def draw(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """N winners."""
        event = categorical(np.concatenate([self.atoms, self.pieces]), rng.random(n))
        count = len(self.order)
        place = event % count
        within = rng.random(n) * self.running[place]
        among = np.minimum(np.searchsorted(self.running, within, "right"), place)
        return self.order[np.where(event < count, place, among)]


@dataclass(frozen=True)
class NoiseFloor(ZooEntry):
    """The target is sampled by an exponential race in float32, whose noise is never below 2**-24.

    A token of probability well below that never wins. No draft is involved; the race is how such a
    sampler draws target tokens, drafts and replacements alike.

    Attributes:
        floor: the least value of the noise.
    """

    key = "noise_floor"
    mechanism = "float32 exponential noise is at least 2**-24, so the far tail is never drawn"
    sources = (
        "https://github.com/vllm-project/vllm/issues/43150",
        "https://github.com/vllm-project/vllm/pull/37798",
    )

    floor: float = FLOAT32_FLOOR

    def _floor(self) -> float:
        return 0.0 if self.mended else self.floor

    def output_law(self, target: np.ndarray, draft: np.ndarray) -> np.ndarray:
        return FloorRace.over(target, self._floor()).law(target.size)

    def acceptance(self, target: np.ndarray, draft: np.ndarray) -> float:
        return 0.0

    def __call__(self, target: np.ndarray, draft: np.ndarray, n: int, seed: int) -> Draws:
        tokens = FloorRace.over(target, self._floor()).draw(n, np.random.default_rng(seed))
        return Draws(tokens, np.zeros(n, dtype=bool))

    def case(self) -> tuple[np.ndarray, np.ndarray]:
        """One head token and the tail of the report: 2**18 tokens 20.5 nats below it."""
        logits = np.full(TAIL + 1, -DEPTH)
        logits[TAIL // 3] = 0.0
        law = from_logits(logits)
        return law, law
