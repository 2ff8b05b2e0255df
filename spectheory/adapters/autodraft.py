"""autodraft-sd: sample the target at every node of a draft tree, and follow what matches."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, ClassVar
from unittest.mock import patch

import numpy as np

from spectheory.adapters.chain import logarithms
from spectheory.adapters.engine import Emitted, Engine, after


@dataclass(frozen=True)
class Autodraft(Engine):
    """``verify`` on trees of the draft model's likeliest tokens, one request at a time.

    Two things around it are stood in for: the wait for CUDA, which a CPU has not, and the drafting
    of the next tree, which comes after the tokens are settled.

    Attributes:
        width: children of every node.
        levels: depth of the tree.
    """

    distribution: ClassVar[str] = "autodraft-sd"
    tested: ClassVar[tuple[str, ...]] = ("1.1.1",)
    reference: ClassVar[str] = "https://pypi.org/project/autodraft-sd/"
    install: ClassVar[str] = "pip install --no-deps autodraft-sd==1.1.1"

    width: int = 2
    levels: int = 2

    @property
    def key(self) -> str:
        return "autodraft"

    @property
    def calls(self) -> str:
        return "opt_classic.utils.verify"

    @property
    def depth(self) -> int:
        return self.levels

    def step(
        self, target: np.ndarray, draft: np.ndarray, contexts: np.ndarray, seed: int
    ) -> Emitted:
        import torch

        function = self.load("opt_classic.utils").verify
        unchanged = self.load("transformers").LogitsProcessorList()
        nodes, parents, places = self._tree(draft, contexts)
        laws = logarithms(after(target, nodes))
        tokens = np.zeros((len(contexts), self.levels + 1), dtype=np.int64)
        counts = np.empty(len(contexts), dtype=np.int64)
        with (
            torch.random.fork_rng(devices=[]),
            patch.object(torch.cuda, "synchronize", lambda: None),
        ):
            torch.manual_seed(seed)
            for b in range(len(contexts)):
                found = function(
                    torch.zeros(1, 0, dtype=torch.long),
                    laws[b : b + 1],
                    torch.from_numpy(nodes[b : b + 1]),
                    torch.from_numpy(places),
                    None,
                    [torch.zeros(1, 1, nodes.shape[1], 1)],
                    torch.tensor([nodes.shape[1]]),
                    torch.from_numpy(parents),
                    _NO_NEXT_TREE,
                    nodes.shape[1],
                    0.0,
                    self.levels,
                    unchanged,
                )
                emitted = [*found[1][1:], int(found[3][0, 0])]  # the path starts at the context
                tokens[b, : len(emitted)], counts[b] = emitted, len(emitted)
        return Emitted(tokens, counts)

    def _tree(
        self, draft: np.ndarray, contexts: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """``(B, N)`` tokens with the context first, ``(N - 1,)`` parents, ``(N,)`` depths.

        Parents are numbered among the drafts; a draft that is its own parent follows the context.
        """
        text, places, level = [contexts], [0], [-1]
        parents: list[int] = []
        for depth in range(1, self.levels + 1):
            children = []
            for parent in level:
                likeliest = np.argsort(-after(draft, text[parent + 1]), axis=-1, kind="stable")
                for i in range(self.width):
                    children.append(len(parents))
                    parents.append(len(parents) if parent < 0 else parent)
                    text.append(likeliest[:, i])
                    places.append(depth)
            level = children
        return np.stack(text, axis=1), np.array(parents), np.array(places)


def _no_next_tree(*_: Any) -> tuple[Any, ...]:
    import torch

    one = torch.ones(1, dtype=torch.long)
    return one[None], one, one[None], one, 0


_NO_NEXT_TREE = SimpleNamespace(draft=_no_next_tree)
