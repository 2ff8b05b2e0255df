"""An autoregressive image model whose next token comes from a small diffusion.

A causal backbone turns the tokens so far into a state; a multilayer perceptron, given that state,
denoises the next token's four pixels. Reference: li2024autoregressive.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from spectheory.continuous.diffusion_schedule import DiffusionSchedule
from spectheory.digits.backbone import UNCONDITIONAL, CausalBackbone
from spectheory.digits.data import PIXELS, TOKENS, Digits


@dataclass(frozen=True)
class Size:
    """How large a model is: width and depth of its backbone and of its denoising head."""

    width: int
    depth: int
    heads: int
    head_width: int
    head_depth: int


TARGET = Size(width=48, depth=2, heads=4, head_width=64, head_depth=2)
DRAFT = Size(width=16, depth=1, heads=2, head_width=24, head_depth=1)


class DiffusionModel(nn.Module):
    """Backbone and denoising head.

    Args:
        size: see `Size`.
        steps: denoising steps T the head is trained for.

    >>> model = DiffusionModel(DRAFT, steps=20)
    >>> states = model.states(torch.zeros(2, 3, 4), torch.tensor([1, 7]))
    >>> tuple(model.clean(states[:, -1], torch.zeros(2, 4), 20).shape)
    (2, 4)
    """

    def __init__(self, size: Size, steps: int = 20) -> None:
        super().__init__()
        self.steps = steps
        self.embed = nn.Linear(PIXELS, size.width)
        self.backbone = CausalBackbone(size.width, size.depth, size.heads)
        self.head = DenoisingHead(size.width, size.head_width, size.head_depth, steps)
        signal = DiffusionSchedule(steps).signal
        self.register_buffer("signal", torch.tensor(signal).float(), persistent=False)

    def states(self, tokens: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """``(n, k + 1, width)``: the state before each token, and the one after all k."""
        states: torch.Tensor = self.backbone(self.embed(tokens), labels)
        return states

    def clean(self, states: torch.Tensor, noisy: torch.Tensor, t: int) -> torch.Tensor:
        """``(n, 4)``: estimate of the clean token from ``noisy`` at step t, within [-1, 1]."""
        times = torch.full((len(noisy),), t, dtype=torch.long)
        velocity = self.head(noisy, times, states)
        signal = self.signal[t]
        return (signal.sqrt() * noisy - (1 - signal).sqrt() * velocity).clamp(-1, 1)

    def loss(
        self, data: Digits, batch: int, noises: int, generator: torch.Generator
    ) -> torch.Tensor:
        """Mean squared error of the velocity ``sqrt(abar) eps - sqrt(1 - abar) x0``.

        Labels are dropped one time in ten, so that the model also works without.

        Args:
            data: images to draw from.
            batch: how many images.
            noises: noise levels for each token of each image.
            generator: of images, levels and noise.

        Reference: salimans2022progressive; ho2022classifier on dropping labels.
        """
        rows = torch.randint(len(data.labels), (batch,), generator=generator).numpy()
        tokens = torch.from_numpy(data.tokens[rows])
        labels = torch.from_numpy(data.labels[rows])
        dropped = torch.rand(batch, generator=generator) < 0.1
        labels = torch.where(dropped, UNCONDITIONAL, labels)
        states = self.states(tokens[:, : TOKENS - 1], labels)
        states = states.flatten(0, 1).repeat(noises, 1)
        clean = tokens.flatten(0, 1).repeat(noises, 1)
        times = torch.randint(1, self.steps + 1, (len(clean),), generator=generator)
        signal = self.signal[times, None]
        noise = torch.randn(clean.shape, generator=generator)
        noisy = signal.sqrt() * clean + (1 - signal).sqrt() * noise
        velocity = signal.sqrt() * noise - (1 - signal).sqrt() * clean
        return nn.functional.mse_loss(self.head(noisy, times, states), velocity)


class DenoisingHead(nn.Module):
    """Residual perceptron, scaled and shifted by the state and the step."""

    def __init__(self, state_width: int, width: int, depth: int, steps: int) -> None:
        super().__init__()
        self.enter = nn.Linear(PIXELS, width)
        self.state = nn.Linear(state_width, width)
        self.step = nn.Embedding(steps + 1, width)
        self.norms = nn.ModuleList(
            nn.LayerNorm(width, elementwise_affine=False) for _ in range(depth)
        )
        self.adapt = nn.ModuleList(nn.Linear(width, 2 * width) for _ in range(depth))
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
            for _ in range(depth)
        )
        self.leave = nn.Linear(width, PIXELS)

    def forward(
        self, noisy: torch.Tensor, times: torch.Tensor, states: torch.Tensor
    ) -> torch.Tensor:
        hidden = self.enter(noisy)
        context = nn.functional.silu(self.state(states) + self.step(times))
        for norm, adapt, block in zip(self.norms, self.adapt, self.blocks, strict=True):
            scale, shift = adapt(context).chunk(2, dim=-1)
            hidden = hidden + block(norm(hidden) * (1 + scale) + shift)
        velocity: torch.Tensor = self.leave(nn.functional.silu(hidden))
        return velocity


def parameters(model: nn.Module) -> int:
    """How many numbers a model holds."""
    return int(np.sum([value.numel() for value in model.parameters()]))
