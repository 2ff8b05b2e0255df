"""Speculative sampling of a time series' future: a Gaussian forecaster with a linear draft.

One value is one token. The path that comes out has the target forecaster's joint law.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np

from spectheory.continuous.density import finite
from spectheory.continuous.path_chain import Kernel
from spectheory.continuous.path_segment import examine_step
from spectheory.errors import InputError, ShapeError


class Forecaster(ABC):
    """A law of the next value given the last ``order`` ones, ``N(mean, scale^2)``.

    Attributes:
        order: values it looks back on.
    """

    order: int

    @abstractmethod
    def kernel(self, history: np.ndarray) -> Kernel:
        """Law of the next value, one a row, for ``(n, >= order)`` histories, newest last."""


@dataclass(frozen=True, eq=False)
class LinearForecaster(Forecaster):
    """``x_t ~ N(c_0 + sum_i c_i x_{t-i}, scale^2)``.

    Attributes:
        coefficients: ``(order + 1,)``, the constant first, then the newest value's.
        scale: standard deviation.

    Raises:
        InputError: a scale that is not positive and finite, as the fit to a series without noise.

    >>> series = np.sin(np.arange(60.0))  # x_t = 2 cos(1) x_{t-1} - x_{t-2}
    >>> LinearForecaster.fit(series + 1e-9 * np.arange(60) ** 2, 2).coefficients.round(4)
    array([ 0.    ,  1.0806, -1.    ])
    """

    coefficients: np.ndarray
    scale: float

    def __post_init__(self) -> None:
        finite("scale", self.scale, positive=True)

    @property
    def order(self) -> int:  # type: ignore[override]
        return len(self.coefficients) - 1

    def kernel(self, history: np.ndarray) -> Kernel:
        mean = _design(history, self.order) @ self.coefficients
        return Kernel(mean[:, None], np.full((len(mean), 1), self.scale))

    @classmethod
    def fit(cls, series: np.ndarray, order: int) -> Self:
        """Least squares on one series.

        Raises:
            ShapeError: too short a series for the order.
        """
        past, now = _windows(series, order)
        return cls(*_least_squares(past, now, order))


@dataclass(frozen=True, eq=False)
class ThresholdForecaster(Forecaster):
    """Two linear forecasters; which one speaks depends on the value ``delay`` steps ago.

    Mean and deviation jump where ``x_{t-delay}`` crosses the threshold, so that no linear draft
    matches it.

    Attributes:
        low: for ``x_{t-delay} <= threshold``.
        high: above.
        threshold: of the value.
        delay: at most the order.

    Reference: tong1980threshold.
    """

    low: LinearForecaster
    high: LinearForecaster
    threshold: float
    delay: int

    @property
    def order(self) -> int:  # type: ignore[override]
        return max(self.low.order, self.high.order, self.delay)

    def kernel(self, history: np.ndarray) -> Kernel:
        above = (history[:, -self.delay] > self.threshold)[:, None]
        low, high = self.low.kernel(history), self.high.kernel(history)
        return Kernel(np.where(above, high.mean, low.mean), np.where(above, high.scale, low.scale))

    @classmethod
    def fit(cls, series: np.ndarray, order: int, delay: int) -> Self:
        """Least squares in both regimes; the threshold, a middle value, by likelihood.

        Raises:
            InputError: a delay beyond the order.
            ShapeError: too short a series for the order.
        """
        if not 1 <= delay <= order:
            raise InputError(f"`delay` is {delay}; expected 1 to the order, {order}")
        past, now = _windows(series, order)
        level = past[:, -delay]
        tried = []
        for threshold in np.quantile(level, np.linspace(0.25, 0.75, 51)):
            low, high = (
                LinearForecaster(*_least_squares(past[side], now[side], order))
                for side in (level <= threshold, level > threshold)
            )
            fitted = cls(low, high, float(threshold), delay)
            tried.append((fitted.kernel(past).log_density(now[:, None]).sum(), threshold, fitted))
        return max(tried, key=lambda one: one[:2])[2]


class Forecast(NamedTuple):
    """Sampled futures and what they took.

    Attributes:
        paths: ``(n, horizon)``.
        tested: ``(n,)`` drafted values up to and including the first rejected one of each block.
        accepted: ``(n,)`` of those, how many stood.
        cycles: ``(n,)`` target passes.
        proposals: ``(n,)`` target draws for replacements.
    """

    paths: np.ndarray
    tested: np.ndarray
    accepted: np.ndarray
    cycles: np.ndarray
    proposals: np.ndarray


def speculative_forecast(
    target: Forecaster,
    draft: Forecaster,
    history: np.ndarray,
    n: int,
    horizon: int,
    rng: np.random.Generator,
    block: int = 4,
) -> Forecast:
    """Futures with the target's joint law, drafted ``block`` values at a time; law-lossless.

    Each value is accepted with ``min(1, p / q)`` and else redrawn from ``(p - q)_+``; what was
    drafted after it is dropped. A block that stands entirely is followed by a value of the target.

    Args:
        target: forecaster whose futures these are to be.
        draft: forecaster that proposes.
        history: the past, newest last, as long as the larger order at least.
        n: futures.
        horizon: values of each.
        rng: of all randomness.
        block: drafts a round.

    Raises:
        InputError: a horizon or block below 1.
        ShapeError: too short a history.

    >>> walk = LinearForecaster(np.array([0.0, 1.0]), 1.0)
    >>> made = speculative_forecast(walk, walk, np.zeros(1), 2, 5, np.random.default_rng(0))
    >>> made.paths.shape, made.accepted.tolist(), made.cycles.tolist()
    ((2, 5), [4, 4], [1, 1])
    """
    order = max(target.order, draft.order)
    if horizon < 1 or block < 1:
        raise InputError(f"`horizon` is {horizon} and `block` {block}; expected at least 1")
    if np.ndim(history) != 1 or len(history) < order:
        raise ShapeError(f"`history` has shape {np.shape(history)}; expected ({order},) or longer")
    values = np.empty((n, order + horizon))
    values[:, :order] = np.asarray(history)[len(history) - order :]
    at = np.full(n, order)
    tested, accepted, cycles, proposals = (np.zeros(n, dtype=np.int64) for _ in range(4))
    while len(active := np.flatnonzero(at < values.shape[1])):
        cycles[active] += 1
        rows, places, under = _propose(draft, values, active, at, block, rng)
        above = target.kernel(_history(values, rows, places, order))
        found = examine_step(above, under, values[rows, places][:, None], rng)
        length = np.bincount(rows, minlength=n)
        first = length.copy()
        offsets = places - at[rows]
        np.minimum.at(first, rows[~found.accepted], offsets[~found.accepted])
        fallen = np.flatnonzero(offsets == first[rows])
        if len(fallen):
            sample, spent = found.redraw(fallen)
            values[rows[fallen], places[fallen]] = sample[:, 0]
            proposals[rows[fallen]] += spent
        accepted += first
        tested += np.minimum(first + 1, length)
        at += first + (first < length)
        whole = active[(first == length)[active] & (at[active] < values.shape[1])]
        if len(whole):
            bonus = target.kernel(_history(values, whole, at[whole], order))
            values[whole, at[whole]] = bonus.at(rng.standard_normal((len(whole), 1)))[:, 0]
            at[whole] += 1
    return Forecast(values[:, order:], tested, accepted, cycles, proposals)


def _propose(
    draft: Forecaster,
    values: np.ndarray,
    active: np.ndarray,
    at: np.ndarray,
    block: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, Kernel]:
    """Write up to ``block`` drafts a row; returns their rows, places and kernels."""
    rows, places, means, scales = [], [], [], []
    for offset in range(block):
        row = active[at[active] + offset < values.shape[1]]
        kernel = draft.kernel(_history(values, row, at[row] + offset, draft.order))
        values[row, at[row] + offset] = kernel.at(rng.standard_normal((len(row), 1)))[:, 0]
        rows.append(row)
        places.append(at[row] + offset)
        means.append(kernel.mean)
        scales.append(kernel.scale)
    kernel = Kernel(np.concatenate(means), np.concatenate(scales))
    return np.concatenate(rows), np.concatenate(places), kernel


def _history(values: np.ndarray, rows: np.ndarray, places: np.ndarray, order: int) -> np.ndarray:
    return values[rows[:, None], places[:, None] - order + np.arange(order)]


def _design(history: np.ndarray, order: int) -> np.ndarray:
    """Columns 1, x_{t-1}, ..., x_{t-order}."""
    newest_first = history[:, ::-1][:, :order]
    return np.column_stack([np.ones(len(history)), newest_first])


def _windows(series: np.ndarray, order: int) -> tuple[np.ndarray, np.ndarray]:
    if np.ndim(series) != 1 or order < 1 or len(series) < 4 * (order + 2):
        raise ShapeError(
            f"`series` has shape {np.shape(series)} for order {order}; expected one axis with at "
            f"least {4 * (order + 2)} values"
        )
    windows = np.lib.stride_tricks.sliding_window_view(np.asarray(series, float), order + 1)
    return windows[:, :-1], windows[:, -1]


def _least_squares(past: np.ndarray, now: np.ndarray, order: int) -> tuple[np.ndarray, float]:
    design = _design(past, order)
    coefficients = np.linalg.lstsq(design, now, rcond=None)[0]
    return coefficients, float(np.sqrt(np.mean((now - design @ coefficients) ** 2)))
