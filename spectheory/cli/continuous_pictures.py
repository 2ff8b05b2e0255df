"""The pictures of `spectheory continuous demo`: one band of digits for each way of drawing them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spectheory.cli.style import settings
from spectheory.errors import MissingDependency

ACROSS, DOWN = 10, 2
"""Digits in a band: each of 0 to 9 twice."""


def draw(path: Path, made: dict[str, np.ndarray], remarks: dict[str, str]) -> Path:
    """Save the first images of each set as one PNG; returns the path.

    Args:
        path: of the PNG.
        made: ``(n, 16, 4)`` tokens by name, in the order of the bands.
        remarks: what to say beside a name.

    Raises:
        MissingDependency: matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependency(
            "the pictures need `matplotlib`: pip install 'spectheory[cli]'"
        ) from error
    columns = 2
    rows = -(-len(made) // columns)
    with mpl.rc_context(settings()):
        figure = Figure(figsize=(3.6 * columns, 1.0 * rows), layout="constrained")
        FigureCanvasAgg(figure)
        grid = figure.subplots(rows, columns, squeeze=False)
        for axes in grid.flat:
            axes.set_axis_off()
        for axes, (name, tokens) in zip(grid.flat, made.items(), strict=False):
            axes.imshow(band(tokens), cmap="gray_r", vmin=-1, vmax=1, interpolation="nearest")
            title = f"{name.replace('_', ' ')} ({remarks[name]})" if name in remarks else name
            axes.set_title(title, loc="left", fontsize=7)
        figure.savefig(path, dpi=200)
    return path


def band(tokens: np.ndarray) -> np.ndarray:
    """Up to 20 images side by side in two rows, a blank pixel between them.

    >>> band(np.zeros((3, 16, 4))).shape
    (18, 90)
    """
    from spectheory.digits.data import SIDE, to_images

    cell = SIDE + 1
    sheet = np.full((DOWN * cell, ACROSS * cell), -1.0)
    for i, image in enumerate(to_images(tokens[: ACROSS * DOWN])):
        top, left = cell * (i // ACROSS), cell * (i % ACROSS)
        sheet[top : top + SIDE, left : left + SIDE] = image
    return sheet
