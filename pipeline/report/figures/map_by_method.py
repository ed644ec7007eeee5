"""mAP of every (method, quantizer) with the values of the seeds, a panel per code length."""

from collections.abc import Iterator

import pandas
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipeline.report.figures.style import AXIS, FigureGroup, apart, color, numeric, panels
from pipeline.report.source import Source

CAPTION = (
    "Diamonds and bars: mean ± standard deviation over seeds. Dots below: the single seeds. "
    "The axis does not start at zero."
)


def groups(source: Source) -> Iterator[FigureGroup]:
    title = f"{source.map_label} by method and quantizer"
    yield FigureGroup("map", title, CAPTION, apart(source, "map", title, draw))


def draw(source: Source, methods: list[str]) -> Figure:
    """One row per (method, quantizer); horizontal, so that names of any length fit."""
    slots: list[tuple[str, str | None]] = []
    for method in methods:
        rows = source.results[source.results["method"] == method]
        slots += [(method, None), *((method, name) for name in dict.fromkeys(rows["quantizer"]))]
    columns = min(4, len(source.bits))
    figure, places = panels(
        len(source.bits), columns, 0.62 + (0.31 if len(slots) < 20 else 0.26) * len(slots), sharex=True
    )
    results, cells = numeric(source.results), numeric(source.cells)
    for place, (axes, bits) in enumerate(zip(places, source.bits, strict=True)):
        for y, (method, quantizer) in enumerate(slots):
            if quantizer is not None:
                result, seeds = (_of(table, method, quantizer, bits) for table in (results, cells))
                _row(axes, y, color(source, quantizer), result, seeds)
        _name_rows(axes, slots, labelled=place % columns == 0)
        axes.xaxis.set_major_locator(MaxNLocator(5 if columns < 4 else 3))
        axes.set_title(f"{bits} bits")
        if place >= len(places) - columns:
            axes.set_xlabel(source.map_label)
            axes.tick_params(labelbottom=True)
    return figure


def _of(table: pandas.DataFrame, method: str, quantizer: str, bits: str) -> pandas.DataFrame:
    chosen = (table["method"] == method) & (table["quantizer"] == quantizer) & (table["bits"] == float(bits))
    return table[chosen]


def _row(axes: Axes, y: int, shade: str, result: pandas.DataFrame, cells: pandas.DataFrame) -> None:
    if result["map_mean"].isna().all():
        axes.text(0.01, y, "n/a", color=AXIS, va="center", transform=axes.get_yaxis_transform())
        return
    axes.scatter(cells["map"], [y + 0.2] * len(cells), s=15, color=shade, alpha=0.55, linewidths=0, zorder=2)
    axes.errorbar(
        result["map_mean"], [y - 0.14] * len(result), xerr=result["map_std"].fillna(0.0), color=shade,
        fmt="D", markersize=5.5, elinewidth=1.6, capsize=3.5, capthick=1.6, zorder=3,
    )  # fmt: skip


def _name_rows(axes: Axes, slots: list[tuple[str, str | None]], *, labelled: bool) -> None:
    axes.set_yticks(range(len(slots)), [(quantizer or method) * labelled for method, quantizer in slots])
    axes.set_ylim(len(slots) - 0.4, -0.5)
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    for label, (_, quantizer) in zip(axes.get_yticklabels(), slots, strict=True):
        label.set_fontweight("bold" if quantizer is None else "normal")
