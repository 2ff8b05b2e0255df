"""economize: recursive rejection down a draft tree, with siblings declared rightly and wrongly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from spectheory.adapters.chain import logarithms
from spectheory.adapters.economize import _verifier, selector
from spectheory.adapters.engine import Emitted, Engine, after
from spectheory.arrays import ratio, total
from spectheory.errors import SupportError

SIBLINGS = {
    "iid": "independent draws, declared so",
    "distinct": "drawn without replacement, each declared with its law given its elder siblings",
    "top": "the likeliest tokens, declared deterministic",
    "distinct-as-iid": "drawn without replacement, declared independent: a caller's mistake",
    "top-as-iid": "the likeliest tokens, declared drawn: a caller's mistake",
}


@dataclass(frozen=True)
class EconomizeTree(Engine):
    """The "rejection" verifier on trees.

    Attributes:
        siblings: how children are drawn and declared; see `SIBLINGS`.
        width: children of every node.
        levels: depth of the tree.
    """

    distribution: ClassVar[str] = "economize"
    tested: ClassVar[tuple[str, ...]] = ("0.3.2",)
    reference: ClassVar[str] = "https://pypi.org/project/economize/"

    siblings: str = "iid"
    width: int = 2
    levels: int = 2

    @classmethod
    def examples(cls) -> Iterator[Engine]:
        for siblings in SIBLINGS:
            yield cls(siblings)

    @property
    def key(self) -> str:
        return f"economize-tree-{self.siblings}"

    @property
    def calls(self) -> str:
        return "economize.decoding.verifiers.RejectionVerifier.verify_tree"

    @property
    def claim(self) -> str:
        return "lossy" if self.siblings.endswith("as-iid") else "law-lossless"

    @property
    def depth(self) -> int:
        return self.levels

    def step(
        self, target: np.ndarray, draft: np.ndarray, contexts: np.ndarray, seed: int
    ) -> Emitted:
        import torch

        rng, batch = np.random.default_rng(seed), len(contexts)
        text, laws = [contexts], []
        parents: list[int] = []
        level = [-1]  # nodes whose children come next; -1 is the root, which has no draft
        for _ in range(self.levels):
            children = []
            for parent in level:
                tokens, declared = self._children(after(draft, text[parent + 1]), rng)
                for i in range(self.width):
                    children.append(len(parents))
                    parents.append(parent)
                    text.append(tokens[:, i])
                    laws.append(declared[:, i])
            level = children
        nodes = np.stack(text, axis=1)
        proposed = self.load("economize.decoding.protocols").Draft(
            tokens=torch.from_numpy(nodes[:, 1:].copy()),
            lengths=[len(parents)] * batch,
            parents=torch.tensor(parents).expand(batch, -1),
            probs=None if self.siblings == "top" else torch.from_numpy(np.stack(laws, 1)).float(),
        )
        paths, following = _verifier(self, "RejectionVerifier").verify_tree(
            logarithms(after(target, nodes)), proposed, selector(self, int(rng.integers(2**62)))
        )
        emitted = np.zeros((batch, self.levels + 1), dtype=np.int64)
        for b, (path, last) in enumerate(zip(paths, following, strict=True)):
            emitted[b, : len(path)] = nodes[b, [node + 1 for node in path]]
            emitted[b, len(path)] = last
        return Emitted(emitted, np.array([len(path) + 1 for path in paths]))

    def _children(self, law: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """``(B, width)`` tokens and the ``(B, width, V)`` laws that are declared for them."""
        declared = np.repeat(law[:, None], self.width, axis=1)
        with np.errstate(divide="ignore"):
            logs = np.log(law)
        if self.siblings == "iid":
            noise = rng.gumbel(size=declared.shape)
            return np.argmax(logs[:, None] + noise, axis=-1), declared
        if self.siblings.startswith("distinct"):
            self._check_support(law)
        ranking = logs if self.siblings.startswith("top") else logs + rng.gumbel(size=logs.shape)
        tokens = np.argsort(-ranking, axis=-1, kind="stable")[:, : self.width]
        if self.siblings == "distinct":
            for i in range(1, self.width):
                taken = tokens[:, i - 1 : i, None] == np.arange(law.shape[1])
                declared[:, i:][np.broadcast_to(taken, declared[:, i:].shape)] = 0.0
            declared = ratio(declared, total(declared))
        return tokens, declared

    def _check_support(self, law: np.ndarray) -> None:
        least = int((law > 0).sum(axis=-1).min())
        if least < self.width:
            raise SupportError(
                f"`draft` has a law of {least} tokens and `{self.key}` draws {self.width} siblings "
                "without replacement from it. Truncated by top-k or top-p?"
            )
