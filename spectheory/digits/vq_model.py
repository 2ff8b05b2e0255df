"""An autoregressive model over the codes of an image's patches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from spectheory.digits.backbone import CausalBackbone
from spectheory.digits.data import PIXELS, TOKENS
from spectheory.distributions import from_logits


@dataclass(frozen=True)
class CodeSize:
    """Width, depth and heads of a model."""

    width: int
    depth: int
    heads: int


class CodeModel(nn.Module):
    """A causal transformer over code ids, told which digit it is; carries its codebook.

    Args:
        size: see `CodeSize`.
        codes: number of codes V.

    >>> model = CodeModel(CodeSize(width=8, depth=1, heads=2), codes=5)
    >>> tokens, labels = torch.zeros(3, 16, dtype=torch.long), torch.tensor([0, 1, 2])
    >>> tuple(model.logits(tokens, labels).shape)
    (3, 16, 5)
    """

    def __init__(self, size: CodeSize, codes: int) -> None:
        super().__init__()
        self.register_buffer("codebook", torch.zeros(codes, PIXELS))
        self.embed = nn.Embedding(codes, size.width)
        self.backbone = CausalBackbone(size.width, size.depth, size.heads)
        self.head = nn.Linear(size.width, codes)

    def logits(self, tokens: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """``(n, 16, V)``: entry i is that of token i, given the label and the tokens before it."""
        states = self.backbone(self.embed(tokens[:, : TOKENS - 1]), labels)
        logits: torch.Tensor = self.head(states)
        return logits

    def loss(
        self,
        tokens: torch.Tensor,
        labels: torch.Tensor,
        batch: int,
        noise: float,
        generator: torch.Generator,
    ) -> torch.Tensor:
        """Mean negative log-likelihood of a batch, in nats a token.

        Args:
            tokens: ``(n, 16)`` codes of all images.
            labels: ``(n,)``.
            batch: images a batch.
            noise: chance that a token the model looks back on is replaced by that of another image,
                without which it learns so few images by heart.
            generator: of batch and noise.
        """
        rows = torch.randint(len(tokens), (batch,), generator=generator)
        wanted, digit = tokens[rows], labels[rows]
        others = tokens[torch.randint(len(tokens), (batch, TOKENS), generator=generator)]
        others = torch.diagonal(others, dim1=1, dim2=2)
        changed = torch.rand(wanted.shape, generator=generator) < noise
        logits = self.logits(torch.where(changed, others, wanted), digit)
        return nn.functional.cross_entropy(logits.flatten(0, 1), wanted.flatten())


class ImageLaws:
    """A code model, told the digits of a batch, as laws of all 16 tokens of each image.

    Args:
        model: trained.
        labels: ``(n,)`` digit of each image of the batch.
    """

    length = TOKENS

    def __init__(self, model: CodeModel, labels: np.ndarray) -> None:
        self.vocab_size = model.head.out_features
        self._model, self._labels = model, torch.tensor(labels, dtype=torch.long)

    def laws(self, tokens: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """``(n, 16, V)`` float64; ``rows`` says which images of the batch ``tokens`` are."""
        with torch.inference_mode():
            logits = self._model.logits(torch.from_numpy(tokens), self._labels[rows])
        law: np.ndarray = from_logits(logits.double().numpy())
        return law
