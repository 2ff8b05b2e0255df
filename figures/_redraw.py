"""Draws figures from their tables and writes the gallery page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

from figures import figures
from figures._agreement import Compared
from figures._gallery import page, summary
from figures._tables import table
from spectheory.cli.style import settings
from spectheory.discovery import named

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HERE = Path(__file__).parent


class Drawn(NamedTuple):
    """A figure on disk, and its numbers beside the printed ones."""

    path: Path
    compared: list[Compared]

    @property
    def numbers(self) -> str:
        """How many of its numbers agree, in words."""
        return summary(self.compared)


def redraw(names: Sequence[str], out: Path, quick: bool, gallery: bool) -> Iterator[Drawn]:
    """Draw figures into ``out/figures``, with a page when all are drawn.

    Args:
        names: of figures; empty or ``all`` for every one.
        out: tables are kept in ``out/tables``.
        quick: draw from small configurations where a figure has them.
        gallery: write pictures and page into the package instead, as they are committed.

    Raises:
        UnknownName: no such figure.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    known = figures()
    everything = not names or list(names) == ["all"]
    chosen = known if everything else {n: named(known, n, "figure") for n in names}
    pictures = HERE / "gallery" if gallery else out / "figures"
    pictures.mkdir(parents=True, exist_ok=True)
    drawn: dict[str, tuple[ModuleType, list[Compared]]] = {}
    for name, module in chosen.items():
        inputs = getattr(module, "quick", module.inputs) if quick else module.inputs
        tables = {sim: table(sim, config, out / "tables") for sim, config in inputs.items()}
        with mpl.rc_context(settings()):
            figure = Figure(figsize=module.size, layout="constrained")
            FigureCanvasAgg(figure)
            module.draw(figure, tables)
            path = pictures / f"{name}.png"
            _save(figure, path)
        rows = list(module.compared(tables)) if hasattr(module, "compared") else []
        drawn[name] = (module, rows)
        yield Drawn(path, rows)
    if everything:
        place, folder = (HERE, "gallery") if gallery else (pictures, ".")
        option = "--gallery" if gallery else "--quick" if quick else ""
        (place / "README.md").write_text(page(drawn, folder, option), encoding="utf-8")


def _save(figure: Figure, path: Path) -> None:
    """As PNG of 256 colours, a third of the size: the pictures are kept with the source."""
    from PIL import Image

    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    Image.open(buffer).convert("RGB").quantize(256).save(path, optimize=True)
