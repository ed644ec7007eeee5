"""mAP against code length, a panel per method."""

from collections.abc import Iterator

import pandas
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.report.figures.style import FigureGroup, apart, code_lengths, color, dash, method_panels, numeric
from pipeline.report.source import Source

CAPTION = "Mean over seeds; bars: ± standard deviation. The axis does not start at zero."


def groups(source: Source) -> Iterator[FigureGroup]:
    if len(source.bits) > 1:
        title = f"{source.map_label} against code length"
        yield FigureGroup("bits", title, CAPTION, apart(source, "bits", title, draw))


def draw(source: Source, methods: list[str]) -> Figure:
    """Draw a panel per method with a line per quantizer."""

    def panel(axes: Axes, rows: pandas.DataFrame) -> None:
        for name in dict.fromkeys(rows["quantizer"]):
            line = rows[rows["quantizer"] == name].sort_values("bits")
            axes.errorbar(
                line["bits"], line["map_mean"], yerr=line["map_std"].fillna(0.0), color=color(source, name),
                linestyle=dash(source, name), marker="o", markersize=4, elinewidth=1.1, capsize=2.5,
            )  # fmt: skip
        code_lengths(axes, source)

    table = numeric(source.results)
    return method_panels(source, table[table["method"].isin(methods)], source.map_label, panel)
