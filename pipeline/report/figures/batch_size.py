"""Validation mAP against batch size, a figure per code length, a panel per method."""

from collections.abc import Iterator

import pandas
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.report.figures.style import (
    FigureGroup,
    a_figure_per_length,
    method_panels,
    numeric,
    quantizer_lines,
    tested_values,
)
from pipeline.report.source import Source

CAPTION = (
    "Mean over seeds; band: ± standard deviation. Each validation image ranks the training images only, so "
    "the level is not that of the results table. The axis does not start at zero."
)


def groups(source: Source) -> Iterator[FigureGroup]:
    if source.batch_size is None:
        return
    table = numeric(source.batch_size)
    table = table[table["validation_map_mean"].notna()]

    def draw(rows: pandas.DataFrame) -> Figure:
        return method_panels(source, rows, "validation mAP", panel)

    def panel(axes: Axes, rows: pandas.DataFrame) -> None:
        quantizer_lines(axes, source, rows, "batch_size", "validation_map", marker="o")
        tested_values(axes, rows["batch_size"], base=2)
        axes.set_xlabel("batch size")

    drafts = a_figure_per_length("batch-size", table, draw)
    yield FigureGroup("batch-size", "Validation mAP against batch size", CAPTION, drafts)
