"""Validation mAP against epoch, a figure per code length, a panel per method."""

from collections.abc import Iterator

import pandas
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.report.figures.style import (
    FigureGroup,
    a_figure_per_length,
    epochs,
    method_panels,
    numeric,
    quantizer_lines,
)
from pipeline.report.source import Source

CAPTION = (
    "Mean over seeds; band: ± standard deviation. Each validation image ranks the training images only, so "
    "the level is not that of the results table."
)


def groups(source: Source) -> Iterator[FigureGroup]:
    history = numeric(source.history)
    if "validation_map_mean" not in history:
        return
    history = history[history["validation_map_mean"].notna()]

    def draw(rows: pandas.DataFrame) -> Figure:
        return method_panels(source, rows, "validation mAP", panel)

    def panel(axes: Axes, rows: pandas.DataFrame) -> None:
        quantizer_lines(axes, source, rows, "epoch", "validation_map")
        epochs(axes, rows)

    drafts = a_figure_per_length("validation", history, draw)
    yield FigureGroup("validation", "Validation mAP against epoch", CAPTION, drafts)
