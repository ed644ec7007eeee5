"""The loss and its parts against epoch, a figure per (method, bits)."""

from collections.abc import Iterator

import pandas
from matplotlib.figure import Figure

from pipeline.report.figures.style import (
    FigureDraft,
    FigureGroup,
    across,
    epochs,
    legend,
    numeric,
    panels,
    quantizer_lines,
    slug,
)
from pipeline.report.source import Source

NO_LOSS = ("validation_map", "learning_rate")
CAPTION = (
    "Mean over seeds; band where there is one: ± standard deviation. A line is missing where a quantizer has "
    "no such part. A quantizer's term is shown before its weight. Each panel has its own scale."
)


def groups(source: Source) -> Iterator[FigureGroup]:
    yield FigureGroup("loss", "Loss parts against epoch", CAPTION, _sketches(source))


def _sketches(source: Source) -> Iterator[FigureDraft]:
    history, several = numeric(source.history), len(source.bits) > 1
    for place, (method, bits) in enumerate((m, b) for m in source.methods for b in source.bits):
        rows = history[(history["method"] == method) & (history["bits"] == float(bits))]
        if columns := _columns(rows):
            title = f"{method}, {bits} bits" if several else method
            yield FigureDraft(f"loss-{place + 1}-{slug(method)}-{bits}", title, draw(source, rows, columns))


def _columns(rows: pandas.DataFrame) -> list[str]:
    """Loss columns that have a number, in file order: the total and its parts."""
    names = [column.removesuffix("_mean") for column in rows.columns if column.endswith("_mean")]
    return [name for name in names if name not in NO_LOSS and rows[f"{name}_mean"].notna().any()]


def draw(source: Source, rows: pandas.DataFrame, columns: list[str]) -> Figure:
    """Draw a panel per loss part with a line per quantizer."""
    wide = across(len(columns))
    figure, places = panels(len(columns), wide, 2.2)
    for place, (axes, name) in enumerate(zip(places, columns, strict=True)):
        quantizer_lines(axes, source, rows, "epoch", name)
        epochs(axes, rows)
        axes.set_title({"loss": "total loss"}.get(name, name.replace("_", " ")))
        if place < len(columns) - wide:
            axes.set_xlabel("")
    legend(figure, source, list(dict.fromkeys(rows["quantizer"])))
    return figure
