"""For every target of three tokens, the least number of drafts that can always be accepted.

The optimum is 1 where ``p(H) >= Q(H)`` for every set H of tokens, Q(H) the chance that all drafts
fall in H: for i.i.d. drafts ``p(H) >= q(H)^k``, the region of khisti2025multi, Theorem 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spectheory.transport.theory import is_perfect

if TYPE_CHECKING:
    import polars


@dataclass(frozen=True)
class Config:
    """The grid.

    Attributes:
        drafts: draft laws of three tokens.
        schemes: keys of draft schemes.
        steps: of the grid over targets, along a side of the triangle.
        most: largest number of drafts tried; without replacement three are always enough.
    """

    drafts: tuple[tuple[float, ...], ...] = ((1 / 3, 1 / 3, 1 / 3), (0.6, 0.3, 0.1))
    schemes: tuple[str, ...] = ("iid", "without_replacement", "greedy")
    steps: int = 120
    most: int = 5


def run(config: Config) -> polars.DataFrame:
    """Columns draft (its place in the configuration), scheme, first, second (target masses), k.

    ``k`` is ``most + 1`` where no number of drafts tried is enough.
    """
    import polars

    points = np.array(
        [(i, j) for i in range(config.steps + 1) for j in range(config.steps + 1 - i)]
    )
    target = np.column_stack([points, config.steps - points.sum(axis=1)]) / config.steps
    frames = []
    for number, law in enumerate(config.drafts):
        draft = np.broadcast_to(np.array(law), target.shape)
        for scheme in config.schemes:
            least = np.full(len(target), config.most + 1)
            most = config.most if scheme == "iid" else min(config.most, len(law))
            for k in range(most, 0, -1):
                least[is_perfect(target, draft, k, scheme)] = k
            frames.append(
                polars.DataFrame(
                    {
                        "draft": number,
                        "scheme": scheme,
                        "first": target[:, 0],
                        "second": target[:, 1],
                        "k": least,
                    }
                )
            )
    return polars.concat(frames)
