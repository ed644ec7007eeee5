"""Colours, fonts and panel layout that all figures share."""

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
# Okabe-Ito hues, darkened where they are too pale on white; grey is reserved for the baseline.
PALETTE = ("#6b727b", "#0072b2", "#d55e00", "#009e73", "#b8578f", "#8f7000", "#2f9fd6", "#7a4fb5")
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (5, 1.5, 1, 1.5)), (0, (1.5, 1.2)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
STYLE = {
    "svg.hashsalt": "report",  # element ids would be random otherwise
    "svg.fonttype": "none",
    "text.parse_math": False,  # show dollar signs in names literally
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
    """A drawn figure that is not saved yet; its ``title`` is unique in its group."""

    name: str
    title: str
    figure: Figure


@dataclass(frozen=True)
class FigureGroup:
    """Figures of one kind under one caption; ``drafts`` may be an iterator that draws each figure on demand."""

    name: str
    title: str
    caption: str
    drafts: Iterable[FigureDraft]


def shades(source: Source) -> dict[str, int]:
    """Each quantizer's index in the palette: 0 (grey) for the baseline, the others follow in grid order."""
    further = (source.tuning, source.timing, source.batch_size, source.tsne, source.gallery)
    named = [name for table in further if table is not None for name in table["quantizer"].unique() if name]
    others = [name for name in dict.fromkeys([*source.quantizers, *named]) if name != BASELINE]
    return {BASELINE: 0} | {name: 1 + place % (len(PALETTE) - 1) for place, name in enumerate(others)}


def color(source: Source, quantizer: str) -> str:
    return PALETTE[shades(source)[quantizer]]


def dash(source: Source, quantizer: str) -> Any:
    return DASHES[list(shades(source)).index(quantizer) % len(DASHES)]


def numeric(table: pandas.DataFrame) -> pandas.DataFrame:
    """Convert all columns except the text columns to numbers; what is not a number becomes NaN."""
    texts = ("method", "quantizer", "of", "by", "setting", "chosen", "relevant", "classes", "query_classes")
    names = [name for name in table.columns if name not in texts]
    return table.assign(**{name: pandas.to_numeric(table[name], errors="coerce") for name in names})


def slug(text: str) -> str:
    """``text`` as part of a file name."""
    return re.sub(r"[^A-Za-z0-9_]+", "-", text).strip("-") or "x"


def across(count: int) -> int:
    """Number of panels in a row, at most three."""
    return 2 if count == 4 else min(3, count)


def panels(count: int, columns: int, height: float, **shared: Any) -> tuple[Figure, list[Axes]]:
    """A figure with ``count`` panels in rows of ``columns``; unused places in the last row stay empty."""
    rows = -(-count // columns)
    layout = ConstrainedLayoutEngine(h_pad=0.07, w_pad=0.06)
    figure = Figure(figsize=(WIDTH, rows * height + 0.45), layout=layout)
    grid = list(figure.subplots(rows, columns, squeeze=False, **shared).flat)
    for axes in grid[count:]:
        axes.set_axis_off()
    return figure, grid[:count]


def legend(figure: Figure, source: Source, names: list[str]) -> None:
    """Add a legend of the quantizers' lines."""
    handles = [Line2D([], [], color=color(source, name), linestyle=dash(source, name)) for name in names]
    place_legend(figure, dict(zip(names, handles, strict=True)))


def place_legend(figure: Figure, handles: dict[str, Line2D]) -> None:
    """Add a legend at the left, where a phone shows it without scrolling."""
    figure.legend(list(handles.values()), list(handles), loc="outside upper left", ncols=min(6, len(handles)))


def band(axes: Axes, x: Any, mean: Any, deviation: Any, shade: str) -> None:
    """Draw a band of ± standard deviation around a line; it has no width at missing deviations."""
    deviation = deviation.fillna(0.0)
    axes.fill_between(x, mean - deviation, mean + deviation, color=shade, alpha=0.13, linewidth=0)


def method_panels(
    source: Source,
    table: pandas.DataFrame,
    y_label: str,
    draw: Callable[[Axes, pandas.DataFrame], None],
    handles: dict[str, Line2D] | None = None,
) -> Figure:
    """One panel per method in ``table``, filled by ``draw(axes, rows)``; all panels share the y axis's scale.

    The legend has ``handles``, or a line for each quantizer.
    """
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
    if handles is None:
        legend(figure, source, list(dict.fromkeys(table["quantizer"])))
    else:
        place_legend(figure, handles)
    return figure


def apart(source: Source, name: str, title: str, draw: Callable[[Source, list[str]], Figure]) -> Iterator[FigureDraft]:
    """``draw(source, methods)`` for the methods that are trained and for those that aren't, where a study has both."""
    for kind, methods in source.methods_apart.items():
        whole = f"{title}, methods {kind}" if kind else title
        yield FigureDraft(f"{name}-{slug(kind)}" if kind else name, whole, draw(source, methods))


def a_figure_per_length(
    name: str, table: pandas.DataFrame, draw: Callable[[pandas.DataFrame], Figure]
) -> Iterator[FigureDraft]:
    """``draw(rows)`` for each code length in ``table``, ascending; if there are several, names end in the length."""
    lengths = sorted(table["bits"].dropna().unique())
    for bits in lengths:
        own = f"{name}-{bits:g}" if len(lengths) > 1 else name
        yield FigureDraft(own, f"{bits:g} bits", draw(table[table["bits"] == bits]))


def quantizer_lines(
    axes: Axes, source: Source, rows: pandas.DataFrame, x: str, column: str, *, marker: str = ""
) -> None:
    """Draw ``<column>_mean`` against ``x``, one line per quantizer, with a band if there is a ``<column>_std``."""
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
    """Set ticks and label of an x axis of epochs."""
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.set_xlabel("epoch (from 0)" if rows["epoch"].min() == 0 else "epoch")


def code_lengths(axes: Axes, source: Source) -> None:
    """Set ticks and label of a logarithmic x axis of the study's code lengths."""
    axes.set_xscale("log", base=2)
    axes.set_xticks([float(bits) for bits in source.bits], source.bits)
    axes.minorticks_off()
    axes.set_xlabel("bits")


def tested_values(axes: Axes, values: Iterable[float], *, base: float = 10) -> None:
    """Set ticks at the tried values; the x axis is logarithmic if they span about one order of magnitude or more."""
    ticks = sorted({value for value in values if not math.isnan(value)})
    low = next((value for value in ticks if value > 0), 1.0)
    if ticks and ticks[0] > 0 and ticks[-1] >= 8 * low:
        axes.set_xscale("log", base=base)
    elif ticks and ticks[0] == 0 and ticks[-1] >= 20 * low:
        axes.set_xscale("symlog", linthresh=low, base=base)
    shown = ticks if len(ticks) <= 8 else ticks[:: -(-len(ticks) // 8)]
    axes.set_xticks(shown, [f"{value:g}" for value in shown])
    axes.minorticks_off()
