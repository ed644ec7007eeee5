"""Precision against recall at the same ranks, a figure per code length, a panel per method."""

from collections.abc import Iterator

import pandas
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.report.figures.style import FigureGroup, a_figure_per_length, color, dash, method_panels, numeric
from pipeline.report.source import Source

CAPTION = (
    "Means over seeds and queries at the same ranks, from 1 to the whole database; the right end is the share of "
    "relevant images in it."
)


def groups(source: Source) -> Iterator[FigureGroup]:
    if source.curves is None:
        return
    curves = numeric(source.curves)

    def draw(rows: pandas.DataFrame) -> Figure:
        return method_panels(source, rows, "precision", panel)

    def panel(axes: Axes, rows: pandas.DataFrame) -> None:
        for name in dict.fromkeys(rows["quantizer"]):
            line = rows[rows["quantizer"] == name].sort_values("at")
            axes.plot(
                line["recall_mean"], line["precision_mean"], color=color(source, name), linestyle=dash(source, name)
            )
        axes.set_xlabel("recall")

    drafts = a_figure_per_length("precision-recall", curves[curves["by"] == "rank"], draw)
    yield FigureGroup("precision-recall", "Precision against recall", CAPTION, drafts)
