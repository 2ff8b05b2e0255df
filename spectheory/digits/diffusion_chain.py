"""The denoising chain of a model's next token, as the path rules see it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from spectheory.continuous.diffusion_schedule import DiffusionSchedule
from spectheory.continuous.path_chain import DenoisingChain, Kernel
from spectheory.digits.backbone import UNCONDITIONAL
from spectheory.digits.data import PIXELS, TOKENS
from spectheory.digits.diffusion_model import DiffusionModel
from spectheory.errors import InputError


@dataclass(frozen=True)
class Sampling:
    """How a model is sampled. Rules are exact for the kernels so defined.

    Attributes:
        floor: standard deviation of the last denoising step, pixels running from -1 to 1.
        temperature: multiplies the standard deviation of every step, not that of x_T.
        guidance: weight w of ``clean = u + w (c - u)`` between estimates without and with the
            label; 1 means no guidance.

    Raises:
        InputError: a temperature that is not positive, or a guidance that is not finite.

    Reference: ho2022classifier.
    """

    floor: float = 0.2
    temperature: float = 1.0
    guidance: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.temperature < np.inf:
            raise InputError(f"`temperature` is {self.temperature}; expected a positive number")
        if not np.isfinite(self.guidance):
            raise InputError(f"`guidance` is {self.guidance}; expected a finite number")


class TokenChain(DenoisingChain):
    """Denoising of one token a row, given the states of the model's backbone.

    The network computes in float32, whose last bits depend on how many rows are computed at once;
    rules are exact up to that.

    Args:
        model: of the states.
        states: ``(n, width)``, one for each row.
        unlabelled: ``(n, width)`` states without the label, if there is guidance.
        sampling: see `Sampling`.
    """

    dimension = PIXELS

    def __init__(
        self,
        model: DiffusionModel,
        states: torch.Tensor,
        unlabelled: torch.Tensor | None,
        sampling: Sampling,
    ) -> None:
        self.model, self.states, self.unlabelled = model, states, unlabelled
        self.sampling, self.steps = sampling, model.steps

    @cached_property
    def schedule(self) -> DiffusionSchedule:
        """Weights and standard deviations of the steps."""
        return DiffusionSchedule(self.steps, self.sampling.floor)

    def kernel(self, t: int, x: np.ndarray) -> Kernel:
        noisy = torch.from_numpy(x).float()
        with torch.inference_mode():
            clean = self.model.clean(self.states, noisy, t)
            if self.unlabelled is not None:
                free = self.model.clean(self.unlabelled, noisy, t)
                clean = (free + self.sampling.guidance * (clean - free)).clamp(-1, 1)
        weights = self.schedule
        mean = weights.clean_weight[t] * clean.numpy().astype(np.float64)
        mean += weights.state_weight[t] * x
        return Kernel(mean, np.asarray(weights.scale[t] * self.sampling.temperature))

    def rows(self, index: np.ndarray) -> TokenChain:
        at = torch.from_numpy(np.asarray(index))
        free = None if self.unlabelled is None else self.unlabelled[at]
        return TokenChain(self.model, self.states[at], free, self.sampling)


class Sampler:
    """A model with its sampling parameters: makes the chain of any position of any image."""

    def __init__(self, model: DiffusionModel, sampling: Sampling) -> None:
        self.model, self.sampling = model, sampling

    def chain(
        self, tokens: np.ndarray, labels: np.ndarray, rows: np.ndarray, positions: np.ndarray
    ) -> TokenChain:
        """The chain for one token a pair of row and position.

        Args:
            tokens: ``(n, 16, 4)``; only tokens before a position count for it.
            labels: ``(n,)``.
            rows: ``(m,)`` rows of ``tokens``.
            positions: ``(m,)``, 0 to 15.
        """
        used = np.unique(rows)
        inputs = torch.from_numpy(tokens[used, : TOKENS - 1]).float()
        at = torch.from_numpy(np.searchsorted(used, rows)), torch.from_numpy(positions)
        free = None
        with torch.inference_mode():
            states = self.model.states(inputs, torch.from_numpy(labels[used]))[at]
            if self.sampling.guidance != 1:
                nothing = torch.full((len(used),), UNCONDITIONAL)
                free = self.model.states(inputs, nothing)[at]
        return TokenChain(self.model, states, free, self.sampling)
