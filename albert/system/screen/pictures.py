"""Pictures as PNG files, drawn without a display."""

import io
from typing import TYPE_CHECKING

from albert.system.files.atomic import atomic_write

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DPI = 110


def new_figure(width: float, height: float) -> "Figure":
    """An empty matplotlib figure; sizes in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    class Picture(Figure):
        """Shows itself in a notebook, where pyplot is not at work as well."""

        def _repr_png_(self) -> bytes:
            buffer = io.BytesIO()
            self.savefig(buffer, format="png", dpi=_DPI)
            return buffer.getvalue()

    figure = Picture(figsize=(width, height), tight_layout=True)
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: "Figure", path: str) -> None:
    """Writes a figure as a PNG, whole or not at all."""
    with atomic_write(path, "wb") as handle:
        figure.savefig(handle, format="png", dpi=_DPI)
