"""Pictures as PNG files, drawn without a display."""

import io
from typing import Mapping, Optional, Sequence

import numpy as np

from albert.system.files import atomic_write

_DPI = 110


def new_figure(width: float, height: float):
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


def save_figure(figure, path: str) -> None:
    """Writes a figure as a PNG, whole or not at all."""
    with atomic_write(path, "wb") as handle:
        figure.savefig(handle, format="png", dpi=_DPI)


def bar_plot(
    path: str, results: Mapping[str, Mapping[str, Sequence[float]]], title: Optional[str] = None
) -> None:
    """Draws groups of bars: a group for each measure, a bar for each contender.

    Args:
      path: The PNG.
      results: By contender, by measure: one value a run; bars are means, whiskers the range.
      title: Above the picture.
    """
    figure = new_figure(7.0, 4.0)
    axes = figure.add_subplot()
    measures = list(next(iter(results.values())))
    width = 0.8 / len(results)
    for place, (contender, values) in enumerate(results.items()):
        runs = [np.asarray(values[measure], float) for measure in measures]
        means = np.array([run.mean() for run in runs])
        spread = [
            means - np.array([run.min() for run in runs]),
            np.array([run.max() for run in runs]) - means,
        ]
        at = np.arange(len(measures)) + (place - (len(results) - 1) / 2.0) * width
        bars = axes.bar(at, means, width, yerr=spread, capsize=3, label=contender)
        for bar, mean in zip(bars, means):
            label = "{:.3f}".format(mean)
            place_of_label = (bar.get_x() + width / 2.0, 0.02)
            axes.text(*place_of_label, label, ha="center", fontsize=8, rotation=90, color="white")
    axes.set_xticks(range(len(measures)))
    axes.set_xticklabels([measure.replace("_", " ") for measure in measures])
    axes.set_ylim(0.0, 1.0)
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    if title:
        axes.set_title(title)
    save_figure(figure, path)
