"""The report's figures, drawn without pyplot so that nothing depends on a user's backend or style."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.style
import pandas
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from pipeline.aggregation import BASELINE
from pipeline.report.source import Source

WIDTH = 10.0
NO_LOSS = ("validation_map", "learning_rate")
INK, AXIS, GRID, PAPER = "#2b3036", "#8b929b", "#e1e4e8", "#ffffff"
# Okabe-Ito hues, darkened where they are too pale on white; grey is kept for the baseline.
PALETTE = ("#6b727b", "#0072b2", "#d55e00", "#009e73", "#b8578f", "#8f7000", "#2f9fd6", "#7a4fb5")
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (5, 1.5, 1, 1.5)), (0, (1.5, 1.2)))
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
class Picture:
    """A figure on the page; ``svg`` is the element to put inline."""

    name: str
    title: str
    caption: str
    svg: str


def draw(source: Source, folder: Path) -> list[Picture]:
    """Draw every figure for which there are numbers, and save each as SVG and PNG.

    Args:
        source: the aggregated tables.
        folder: an existing folder for the files.

    Returns:
        the figures in page order.
    """
    pictures = []
    with matplotlib.style.context(["default", STYLE]):
        for name, title, caption, figure in _all(source):
            pictures.append(_save(figure, folder, name, title, caption))
    return pictures


def shades(source: Source) -> dict[str, int]:
    """Each quantizer's place in the palette: the baseline is grey, the others follow in grid order."""
    others = [name for name in source.quantizers if name != BASELINE]
    return {BASELINE: 0} | {name: 1 + place % (len(PALETTE) - 1) for place, name in enumerate(others)}


def _all(source: Source) -> list[tuple[str, str, str, Figure]]:
    """Every figure that can be drawn, as (name, title, caption, figure)."""
    label = source.map_label
    found = [("map", f"{label} by method and quantizer", _MAP, _map_figure(source))]
    if len(source.bits) > 1:
        found.append(("bits", f"{label} against code length", _BITS, _bits_figure(source)))
    history = _numeric(source.history)
    if "validation_map_mean" in history and history["validation_map_mean"].notna().any():
        figure = _validation_figure(source, history)
        found.append(("validation", "Validation mAP against epoch", _VALIDATION, figure))
    curves = _numeric(source.curves.drop(columns="by"))[source.curves["by"] == "rank"]
    if not curves.empty:
        found.append(("precision-recall", "Precision against recall", _CURVES, _curves_figure(source, curves)))
    several = len(source.bits) > 1
    for place, (method, bits) in enumerate((m, b) for m in source.methods for b in source.bits):
        part = history[(history["method"] == method) & (history["bits"] == float(bits))]
        columns = _loss_columns(part)
        if columns:
            title = f"Loss parts against epoch: {_panel_title(method, bits, several)}"
            name = f"loss-{place + 1}-{_slug(method)}-{bits}"
            found.append((name, title, _LOSS, _loss_figure(source, part, columns)))
    return found


_MAP = (
    "Diamonds and bars: mean ± standard deviation over seeds. Dots below: the single seeds. "
    "The axis does not start at zero."
)
_BITS = "Mean over seeds; bars: ± standard deviation. The axis does not start at zero."
_VALIDATION = (
    "Mean over seeds; band: ± standard deviation. Each validation image ranks the training images only, so "
    "the level is not that of the results table."
)
_CURVES = (
    "Means over seeds and queries at the same ranks, from 1 to the whole database; the right end is the share of "
    "relevant images in it."
)
_LOSS = (
    "Mean over seeds; band where there is one: ± standard deviation. A line is missing where a quantizer has "
    "no such part. A quantizer's term is shown before its weight. Each panel has its own scale."
)


def _numeric(table: pandas.DataFrame) -> pandas.DataFrame:
    """The table with every column but the names as numbers; what is no number becomes NaN."""
    names = [name for name in table.columns if name not in ("method", "quantizer")]
    return table.assign(**{name: pandas.to_numeric(table[name], errors="coerce") for name in names})


def _panel_title(method: str, bits: str, several: bool) -> str:
    return f"{method}, {bits} bits" if several else method


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_]+", "-", text).strip("-") or "x"


def _across(count: int) -> int:
    """Panels in a row, at most three."""
    return 2 if count == 4 else min(3, count)


def _panels(count: int, columns: int, height: float, **shared: Any) -> tuple[Figure, list[Axes]]:
    """A figure with ``count`` panels in rows of ``columns``; places left over in the last row stay empty."""
    rows = -(-count // columns)
    layout = ConstrainedLayoutEngine(h_pad=0.07, w_pad=0.06)
    figure = Figure(figsize=(WIDTH, rows * height + 0.45), layout=layout)
    grid = list(figure.subplots(rows, columns, squeeze=False, **shared).flat)
    for axes in grid[count:]:
        axes.set_axis_off()
    return figure, grid[:count]


def _legend(figure: Figure, source: Source, names: list[str]) -> None:
    handles = [Line2D([], [], color=_color(source, name), linestyle=_dash(source, name)) for name in names]
    # at the left, where it is in view on a phone before any scrolling
    figure.legend(handles, names, loc="outside upper left", ncols=min(6, len(names)))


def _color(source: Source, quantizer: str) -> str:
    return PALETTE[shades(source)[quantizer]]


def _dash(source: Source, quantizer: str) -> Any:
    names = list(shades(source))
    return DASHES[names.index(quantizer) % len(DASHES)]


def _map_figure(source: Source) -> Figure:
    """Rows of (method, quantizer), a panel per code length; horizontal, so that names of any length fit."""
    slots: list[tuple[str, str | None]] = []
    for method in source.methods:
        rows = source.results[source.results["method"] == method]
        slots += [(method, None), *((method, name) for name in dict.fromkeys(rows["quantizer"]))]
    columns = _across(len(source.bits))
    height = 0.62 + 0.31 * len(slots)
    figure, panels = _panels(len(source.bits), columns, height, sharex=True)
    results, cells = _numeric(source.results), _numeric(source.cells)
    for place, (axes, bits) in enumerate(zip(panels, source.bits, strict=True)):
        for y, (method, quantizer) in enumerate(slots):
            if quantizer is not None:
                result, seeds = (_of(table, method, quantizer, bits) for table in (results, cells))
                _map_row(axes, y, _color(source, quantizer), result, seeds)
        _name_rows(axes, slots, labelled=place % columns == 0)
        axes.set_title(f"{bits} bits")
        if place >= len(panels) - columns:
            axes.set_xlabel(source.map_label)
            axes.tick_params(labelbottom=True)
    return figure


def _of(table: pandas.DataFrame, method: str, quantizer: str, bits: str) -> pandas.DataFrame:
    chosen = (table["method"] == method) & (table["quantizer"] == quantizer) & (table["bits"] == float(bits))
    return table[chosen]


def _map_row(axes: Axes, y: int, color: str, result: pandas.DataFrame, cells: pandas.DataFrame) -> None:
    if result["map_mean"].isna().all():
        axes.text(0.01, y, "n/a", color=AXIS, va="center", transform=axes.get_yaxis_transform())
        return
    axes.scatter(cells["map"], [y + 0.2] * len(cells), s=15, color=color, alpha=0.55, linewidths=0, zorder=2)
    axes.errorbar(
        result["map_mean"], [y - 0.14] * len(result), xerr=result["map_std"].fillna(0.0), color=color,
        fmt="D", markersize=5.5, elinewidth=1.6, capsize=3.5, capthick=1.6, zorder=3,
    )  # fmt: skip


def _name_rows(axes: Axes, slots: list[tuple[str, str | None]], *, labelled: bool) -> None:
    axes.set_yticks(range(len(slots)), [(quantizer or method) * labelled for method, quantizer in slots])
    axes.set_ylim(len(slots) - 0.4, -0.5)
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    for label, (_, quantizer) in zip(axes.get_yticklabels(), slots, strict=True):
        label.set_fontweight("bold" if quantizer is None else "normal")


def _bits_figure(source: Source) -> Figure:
    """A panel per method, a line per quantizer."""
    results = _numeric(source.results)
    figure, panels = _panels(len(source.methods), _across(len(source.methods)), 3.1, sharey=True)
    for axes, method in zip(panels, source.methods, strict=True):
        rows = results[results["method"] == method]
        for name in dict.fromkeys(rows["quantizer"]):
            line = rows[rows["quantizer"] == name].sort_values("bits")
            axes.errorbar(
                line["bits"], line["map_mean"], yerr=line["map_std"].fillna(0.0), color=_color(source, name),
                linestyle=_dash(source, name), marker="o", markersize=4, elinewidth=1.1, capsize=2.5,
            )  # fmt: skip
        axes.set_xscale("log", base=2)
        axes.set_xticks([float(bits) for bits in source.bits], source.bits)
        axes.minorticks_off()
        axes.set_title(method)
        axes.set_xlabel("bits")
    panels[0].set_ylabel(source.map_label)
    _legend(figure, source, source.quantizers)
    return figure


def _lines(axes: Axes, source: Source, rows: pandas.DataFrame, column: str) -> None:
    """One line per quantizer of ``<column>_mean`` against epoch, with a band where there is a deviation."""
    for name in dict.fromkeys(rows["quantizer"]):
        line = rows[rows["quantizer"] == name].dropna(subset=[f"{column}_mean"]).sort_values("epoch")
        if line.empty:
            continue
        epoch, mean, color = line["epoch"], line[f"{column}_mean"], _color(source, name)
        marker = "o" if len(line) == 1 else ""
        axes.plot(epoch, mean, color=color, linestyle=_dash(source, name), marker=marker)
        if f"{column}_std" in line:
            deviation = line[f"{column}_std"].fillna(0.0)
            axes.fill_between(epoch, mean - deviation, mean + deviation, color=color, alpha=0.13, linewidth=0)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.set_xlabel("epoch (from 0)" if rows["epoch"].min() == 0 else "epoch")


def _method_panels(source: Source, y_label: str, draw: Callable[[Axes, str, str], None]) -> Figure:
    """A panel per method (and code length, if there are several), filled by ``draw(axes, method, bits)``."""
    wanted = [(method, bits) for bits in source.bits for method in source.methods]
    columns = _across(len(source.methods))
    figure, panels = _panels(len(wanted), columns, 3.1, sharey=True)
    for place, (axes, (method, bits)) in enumerate(zip(panels, wanted, strict=True)):
        draw(axes, method, bits)
        axes.set_title(_panel_title(method, bits, len(source.bits) > 1))
        if place % columns == 0:
            axes.set_ylabel(y_label)
    _legend(figure, source, source.quantizers)
    return figure


def _validation_figure(source: Source, history: pandas.DataFrame) -> Figure:
    """A line per quantizer in each panel."""

    def draw(axes: Axes, method: str, bits: str) -> None:
        rows = history[(history["method"] == method) & (history["bits"] == float(bits))]
        _lines(axes, source, rows, "validation_map")

    return _method_panels(source, "validation mAP", draw)


def _curves_figure(source: Source, curves: pandas.DataFrame) -> Figure:
    """A line per quantizer in each panel, through the same ranks."""

    def draw(axes: Axes, method: str, bits: str) -> None:
        rows = curves[(curves["method"] == method) & (curves["bits"] == float(bits))]
        for name in dict.fromkeys(rows["quantizer"]):
            line = rows[rows["quantizer"] == name].sort_values("at")
            color, dash = _color(source, name), _dash(source, name)
            axes.plot(line["recall_mean"], line["precision_mean"], color=color, linestyle=dash)
        axes.set_xlabel("recall")

    return _method_panels(source, "precision", draw)


def _loss_columns(rows: pandas.DataFrame) -> list[str]:
    """Loss columns that have a number, in file order: the total and its parts."""
    names = [column.removesuffix("_mean") for column in rows.columns if column.endswith("_mean")]
    return [name for name in names if name not in NO_LOSS and rows[f"{name}_mean"].notna().any()]


def _loss_figure(source: Source, rows: pandas.DataFrame, columns: list[str]) -> Figure:
    """Small multiples: a panel per loss part, a line per quantizer."""
    across = _across(len(columns))
    figure, panels = _panels(len(columns), across, 2.2)
    for place, (axes, name) in enumerate(zip(panels, columns, strict=True)):
        _lines(axes, source, rows, name)
        axes.set_title({"loss": "total loss"}.get(name, name.replace("_", " ")))
        if place < len(columns) - across:
            axes.set_xlabel("")
    _legend(figure, source, list(dict.fromkeys(rows["quantizer"])))
    return figure


def _save(figure: Figure, folder: Path, name: str, title: str, caption: str) -> Picture:
    """Write both files without dates or versions, which would change the bytes."""
    if layout := figure.get_layout_engine():
        layout.execute(figure)
        figure.set_layout_engine(None)  # the layout stands; each file would compute it again
    path = folder / f"{name}.svg"
    figure.savefig(path, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    figure.savefig(path.with_suffix(".png"), dpi=144, metadata={"Software": None})
    return Picture(name, title, caption, _inline(path.read_text(encoding="utf-8"), name))


def _inline(svg: str, name: str) -> str:
    """The ``<svg>`` element for the page: ids of its own, colours that follow its light or dark scheme."""
    element = svg[svg.index("<svg") :]
    element = re.sub(r'\bid="', f'id="{name}-', element)
    element = re.sub(r'(xlink:href="|url\()#', rf"\1#{name}-", element)
    element = re.sub(r'^<svg ([^>]*?)width="[^"]*"', r"<svg \1", element)
    element = re.sub(r'^<svg ([^>]*?)height="[^"]*"', r"<svg \1", element)
    series = {color: f"series-{place}" for place, color in enumerate(PALETTE)}
    for color, variable in ({INK: "ink", AXIS: "axis", GRID: "grid"} | series).items():
        element = re.sub(rf"\b(fill|stroke): {color}", rf"\1: var(--{variable})", element)
    return element.replace(f"fill: {PAPER}", "fill: none")
