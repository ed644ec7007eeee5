"""What all figures share: colours, fonts, and how panels are laid out."""

import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pandas
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from pipeline.aggregation import BASELINE
from pipeline.report.source import Source

WIDTH = 10.0
INK, AXIS, GRID, PAPER = "#2b3036", "#8b929b", "#e1e4e8", "#ffffff"
# Okabe-Ito hues, darkened where they are too pale on white; grey is kept for the baseline.
PALETTE = ("#6b727b", "#0072b2", "#d55e00", "#009e73", "#b8578f", "#8f7000", "#2f9fd6", "#7a4fb5")
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (5, 1.5, 1, 1.5)), (0, (1.5, 1.2)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
STYLE = {
    "svg.hashsalt": "report",  # element ids would be random otherwise
    "svg.fonttype": "none",
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
    "font.size": 10,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 10,
    "axes.edgecolor": AXIS,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.facecolor": PAPER,
    "figure.facecolor": PAPER,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": AXIS,
    "ytick.color": AXIS,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "lines.linewidth": 1.7,
    "legend.frameon": False,
    "legend.handlelength": 2.6,
    "axes.formatter.useoffset": False,
}


@dataclass(frozen=True)
class FigureDraft:
    """A drawn figure that isn't saved yet; ``title`` tells it from the others of its group."""

    name: str
    title: str
    figure: Figure


@dataclass(frozen=True)
class FigureGroup:
    """Figures of one kind under one caption, drawn one after the other as they are asked for."""

    name: str
    title: str
    caption: str
    drafts: Iterable[FigureDraft]


def shades(source: Source) -> dict[str, int]:
    """Each quantizer's place in the palette: the baseline is grey, the others follow in grid order."""
    further = (source.tuning, source.timing, source.batch_size, source.tsne, source.gallery)
    named = [name for table in further if table is not None for name in table["quantizer"].unique() if name]
    others = [name for name in dict.fromkeys([*source.quantizers, *named]) if name != BASELINE]
    return {BASELINE: 0} | {name: 1 + place % (len(PALETTE) - 1) for place, name in enumerate(others)}


def color(source: Source, quantizer: str) -> str:
    return PALETTE[shades(source)[quantizer]]


def dash(source: Source, quantizer: str) -> Any:
    return DASHES[list(shades(source)).index(quantizer) % len(DASHES)]


def numeric(table: pandas.DataFrame) -> pandas.DataFrame:
    """The table with every column but the texts as numbers; what is no number becomes NaN."""
    texts = ("method", "quantizer", "of", "by", "setting", "chosen", "relevant", "classes", "query_classes")
    names = [name for name in table.columns if name not in texts]
    return table.assign(**{name: pandas.to_numeric(table[name], errors="coerce") for name in names})


def slug(text: str) -> str:
    """``text`` as part of a file's name."""
    return re.sub(r"[^A-Za-z0-9_]+", "-", text).strip("-") or "x"


def across(count: int) -> int:
    """Panels in a row, at most three."""
    return 2 if count == 4 else min(3, count)


def panels(count: int, columns: int, height: float, **shared: Any) -> tuple[Figure, list[Axes]]:
    """A figure with ``count`` panels in rows of ``columns``; places left over in the last row stay empty."""
    rows = -(-count // columns)
    layout = ConstrainedLayoutEngine(h_pad=0.07, w_pad=0.06)
    figure = Figure(figsize=(WIDTH, rows * height + 0.45), layout=layout)
    grid = list(figure.subplots(rows, columns, squeeze=False, **shared).flat)
    for axes in grid[count:]:
        axes.set_axis_off()
    return figure, grid[:count]


def legend(figure: Figure, source: Source, names: list[str]) -> None:
    """The quantizers' lines, at the left, where they are in view on a phone before any scrolling."""
    handles = [Line2D([], [], color=color(source, name), linestyle=dash(source, name)) for name in names]
    figure.legend(handles, names, loc="outside upper left", ncols=min(6, len(names)))


def band(axes: Axes, x: Any, mean: Any, deviation: Any, shade: str) -> None:
    """± standard deviation around a line; nothing where none is known."""
    deviation = deviation.fillna(0.0)
    axes.fill_between(x, mean - deviation, mean + deviation, color=shade, alpha=0.13, linewidth=0)


def method_panels(
    source: Source, table: pandas.DataFrame, y_label: str, draw: Callable[[Axes, pandas.DataFrame], None]
) -> Figure:
    """A panel per method that ``table`` has, filled by ``draw(axes, rows)``; one scale for all."""
    methods = list(dict.fromkeys(table["method"]))
    columns = across(len(methods))
    figure, places = panels(len(methods), columns, 3.1 if len(methods) <= 3 else 2.6, sharey=True)
    for place, (axes, method) in enumerate(zip(places, methods, strict=True)):
        draw(axes, table[table["method"] == method])
        axes.set_title(method)
        if place % columns == 0:
            axes.set_ylabel(y_label)
        if place < len(methods) - columns:
            axes.set_xlabel("")
    legend(figure, source, list(dict.fromkeys(table["quantizer"])))
    return figure


def a_figure_per_length(
    name: str, table: pandas.DataFrame, draw: Callable[[pandas.DataFrame], Figure]
) -> Iterator[FigureDraft]:
    """``draw(rows)`` for each code length that ``table`` has, ascending; the name says which if there are several."""
    lengths = sorted(table["bits"].dropna().unique())
    for bits in lengths:
        own = f"{name}-{bits:g}" if len(lengths) > 1 else name
        yield FigureDraft(own, f"{bits:g} bits", draw(table[table["bits"] == bits]))


def quantizer_lines(
    axes: Axes, source: Source, rows: pandas.DataFrame, x: str, column: str, *, marker: str = ""
) -> None:
    """One line per quantizer of ``<column>_mean`` against ``x``, with a band where there is a deviation."""
    for name in dict.fromkeys(rows["quantizer"]):
        line = rows[rows["quantizer"] == name].dropna(subset=[f"{column}_mean"]).sort_values(x)
        if line.empty:
            continue
        shade, point = color(source, name), "o" if len(line) == 1 else marker
        axes.plot(
            line[x], line[f"{column}_mean"], color=shade, linestyle=dash(source, name), marker=point, markersize=4
        )
        if f"{column}_std" in line:
            band(axes, line[x], line[f"{column}_mean"], line[f"{column}_std"], shade)


def epochs(axes: Axes, rows: pandas.DataFrame) -> None:
    """An axis of epochs."""
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.set_xlabel("epoch (from 0)" if rows["epoch"].min() == 0 else "epoch")


def tested_values(axes: Axes, values: Iterable[float], *, base: float = 10) -> None:
    """Ticks at the values that were tried; a logarithmic axis where they span more than one order."""
    ticks = sorted({value for value in values if not math.isnan(value)})
    low = next((value for value in ticks if value > 0), 1.0)
    if ticks and ticks[0] > 0 and ticks[-1] >= 8 * low:
        axes.set_xscale("log", base=base)
    elif ticks and ticks[0] == 0 and ticks[-1] >= 20 * low:
        axes.set_xscale("symlog", linthresh=low, base=base)
    shown = ticks if len(ticks) <= 8 else ticks[:: -(-len(ticks) // 8)]
    axes.set_xticks(shown, [f"{value:g}" for value in shown])
    axes.minorticks_off()
