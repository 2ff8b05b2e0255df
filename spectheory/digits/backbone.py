"""A causal transformer over the 16 tokens of an image, told which digit it is."""

from __future__ import annotations

import torch
from torch import nn

from spectheory.digits.data import CLASSES, TOKENS

UNCONDITIONAL = CLASSES
"""The label that means "no label", for guidance."""


class CausalBackbone(nn.Module):
    """State i sees the label and the tokens before position i.

    Args:
        width: of the states.
        depth: number of layers.
        heads: of the attention.

    >>> backbone = CausalBackbone(width=8, depth=1, heads=2)
    >>> embedded, labels = torch.zeros(3, 5, 8), torch.zeros(3, dtype=torch.long)
    >>> tuple(backbone(embedded, labels).shape)
    (3, 6, 8)
    """

    def __init__(self, width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.label = nn.Embedding(CLASSES + 1, width)
        self.position = nn.Parameter(0.02 * torch.randn(TOKENS + 1, width))
        layer = nn.TransformerEncoderLayer(
            width, heads, 4 * width, dropout=0.0, batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)

    def forward(self, embedded: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """States ``(n, k + 1, width)`` of k embedded tokens ``(n, k, width)``."""
        sequence = torch.cat([self.label(labels)[:, None], embedded], dim=1)
        sequence = sequence + self.position[: sequence.shape[1]]
        # Made here, not by torch: its own causal mask warns in inference mode.
        length = sequence.shape[1]
        mask = torch.ones(length, length, dtype=torch.bool).triu(1)
        states: torch.Tensor = self.norm(self.layers(sequence, mask=mask))
        return states
