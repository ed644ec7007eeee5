"""Training time per epoch against batch size (WR, Table 2): in seconds, and as overhead over the baseline."""

from collections.abc import Iterator

import pandas
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.aggregation import BASELINE
from pipeline.report.figures.style import (
    AXIS,
    FigureGroup,
    a_figure_per_length,
    method_panels,
    numeric,
    quantizer_lines,
    tested_values,
)
from pipeline.report.source import Source

SECONDS = "Median over epochs; band: ± standard deviation. As measured on this machine; the grey line is zero."
OVERHEAD = (
    f"Additional time in percent of an epoch with {BASELINE} at the same method, code length and batch size, which "
    "is the line at zero. Differences of a few percent either way are the machine's."
)


def groups(source: Source) -> Iterator[FigureGroup]:
    if source.timing is None:
        return
    table = numeric(source.timing).rename(
        columns={"seconds_median": "seconds_mean", "overhead_percent": "overhead_mean"}
    )

    def seconds(rows: pandas.DataFrame) -> Figure:
        return method_panels(source, rows, "seconds an epoch", lambda axes, own: _panel(axes, source, own, "seconds"))

    def overhead(rows: pandas.DataFrame) -> Figure:
        return method_panels(
            source, rows, "additional time in %", lambda axes, own: _panel(axes, source, own, "overhead")
        )

    timed = table[table["seconds_mean"].notna()]
    compared = table[table["overhead_mean"].notna() & (table["quantizer"] != BASELINE)]
    title = "against batch size"
    yield FigureGroup("seconds", f"Seconds an epoch {title}", SECONDS, a_figure_per_length("seconds", timed, seconds))
    yield FigureGroup(
        "overhead", f"Additional time {title}", OVERHEAD, a_figure_per_length("overhead", compared, overhead)
    )


def _panel(axes: Axes, source: Source, rows: pandas.DataFrame, column: str) -> None:
    quantizer_lines(axes, source, rows, "batch_size", column, marker="o")
    axes.axhline(0, color=AXIS, linewidth=1)
    tested_values(axes, rows["batch_size"], base=2)
    axes.set_xlabel("batch size")
