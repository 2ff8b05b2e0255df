"""The denoising kernels of a diffusion with fixed variances and a floor under the last step."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from spectheory.errors import InputError


@dataclass(frozen=True)
class DiffusionSchedule:
    """Cosine schedule with T steps, seen as T Gaussian kernels.

    Step t, from T down to 1, draws ``x_{t-1} = a_t x0 + b_t x_t + s_t eps`` with x0 the network's
    clean estimate; these are the moments of the forward process's posterior. The last step has
    ``a_1 = 1, b_1 = 0`` and would have no noise: it is given ``s_1 = floor``. Without a floor the
    last kernels of two models are two points and no ratio of theirs ever accepts.

    Attributes:
        steps: T.
        floor: standard deviation of the last step, in data units.

    Raises:
        InputError: fewer than 1 step, or a floor that is not positive.

    Reference: nichol2021improved.

    >>> schedule = DiffusionSchedule(steps=20, floor=0.1)
    >>> [float(part[1]) for part in (schedule.clean_weight, schedule.state_weight, schedule.scale)]
    [1.0, 0.0, 0.1]
    """

    steps: int = 20
    floor: float = 0.2

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise InputError(f"`steps` is {self.steps}; expected at least 1")
        if not 0 < self.floor < np.inf:
            raise InputError(
                f"`floor` is {self.floor}; expected a positive standard deviation. Without noise "
                "in the last step no draft can be accepted"
            )

    @cached_property
    def signal(self) -> np.ndarray:
        """``(T + 1,)``: the cumulative signal power abar_t, 1 at t = 0, with beta_t <= 0.999."""
        angle = (np.arange(self.steps + 1) / self.steps + 0.008) / 1.008 * np.pi / 2
        kept = np.cos(angle) ** 2
        return np.concatenate([[1.0], np.cumprod(np.maximum(kept[1:] / kept[:-1], 1e-3))])

    @cached_property
    def clean_weight(self) -> np.ndarray:
        """``(T + 1,)``: a_t; entry 0 is unused."""
        before, now = self.signal[:-1], self.signal[1:]
        return np.concatenate([[np.nan], np.sqrt(before) * (1 - now / before) / (1 - now)])

    @cached_property
    def state_weight(self) -> np.ndarray:
        """``(T + 1,)``: b_t; entry 0 is unused."""
        before, now = self.signal[:-1], self.signal[1:]
        return np.concatenate([[np.nan], np.sqrt(now / before) * (1 - before) / (1 - now)])

    @cached_property
    def scale(self) -> np.ndarray:
        """``(T + 1,)``: s_t, the floor at t = 1; entry 0 is unused."""
        before, now = self.signal[:-1], self.signal[1:]
        scale = np.sqrt((1 - before) / (1 - now) * (1 - now / before))
        scale[0] = self.floor
        return np.concatenate([[np.nan], scale])
