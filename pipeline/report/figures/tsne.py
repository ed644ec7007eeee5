"""t-SNE of images, features and codes (WR, Figures 1 and 3), a figure per (bits, seed).

The first column shows images and features. Each method has a column: the baseline's codes on top, the other
quantizers' codes below.
"""

from collections.abc import Iterator

import matplotlib
import pandas
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pipeline.aggregation import BASELINE
from pipeline.report.figures.style import AXIS, MARKERS, WIDTH, FigureDraft, FigureGroup, numeric, panels
from pipeline.report.source import Source

#: Ten colours that can be told apart with most kinds of colour vision, on white and on black (Petroff 2021).
CLASSES = tuple(to_hex(color) for color in matplotlib.color_sequences["petroff10"])
#: Colour and marker of images without a label; no class uses them.
UNLABELLED, STAR = "#555555", "*"
ACROSS = 7
CAPTION = (
    "The same images in every panel, coloured by (first) class. t-SNE keeps near neighbours near; its axes, the sizes "
    "of groups and the distances between them mean nothing. Images with the same code coincide or nearly so."
)


def groups(source: Source) -> Iterator[FigureGroup]:
    if source.tsne is not None:
        yield FigureGroup("tsne", "Images, features and codes by t-SNE", CAPTION, _sketches(source))


def _sketches(source: Source) -> Iterator[FigureDraft]:
    points = numeric(source.tsne).dropna(subset=["label", "x", "y"])
    codes = points[points["of"] == "codes"]
    for (bits, seed), rows in codes.groupby(["bits", "seed"]):
        common = points[(points["of"] != "codes") & (points["seed"] == seed)]
        yield FigureDraft(f"tsne-{bits:g}-{seed:g}", f"{bits:g} bits, seed {seed:g}", draw(source, common, rows))


Panel = tuple[str, pandas.DataFrame] | None


def draw(source: Source, common: pandas.DataFrame, codes: pandas.DataFrame) -> Figure:
    """Draw the panels of one code length and seed.

    Args:
        source: the aggregated tables.
        common: points of the images and features.
        codes: points of the codes of this code length and seed.
    """
    columns = _columns(common, codes)
    blocks = -(-len(columns) // ACROSS)
    wide = -(-len(columns) // blocks)
    rows = max(map(len, columns))
    columns += [[]] * (blocks * wide - len(columns))
    figure, places = panels(blocks * rows * wide, wide, WIDTH / max(wide, 4) + 0.3)
    for place, axes in enumerate(places):
        column = columns[place // (rows * wide) * wide + place % wide]
        row = place // wide % rows
        _panel(axes, column[row] if row < len(column) else None)
    _legend(figure, source, sorted({int(label) for table in (common, codes) for label in table["label"]}))
    return figure


def _columns(common: pandas.DataFrame, codes: pandas.DataFrame) -> list[list[Panel]]:
    """What each column shows, from top to bottom."""
    first: list[Panel] = [(of, common[common["of"] == of]) for of in ("images", "features") if of in set(common["of"])]
    quantizers = sorted(dict.fromkeys(codes["quantizer"]), key=lambda name: name != BASELINE)
    columns = [first] if first else []
    for method in dict.fromkeys(codes["method"]):
        own = codes[codes["method"] == method]
        columns.append([(f"{method}\n{name}", own[own["quantizer"] == name]) for name in quantizers])
    return columns


def _panel(axes: Axes, panel: Panel) -> None:
    if panel is None:
        axes.set_axis_off()
        return
    title, points = panel
    axes.set_title(title, fontsize=9)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set(box_aspect=1)
    if points.empty:
        axes.text(0.5, 0.5, "n/a", color=AXIS, ha="center", va="center", transform=axes.transAxes)
        return
    label, size = points["label"].astype(int), min(14.0, max(1.5, 4000 / len(points)))
    for marker, rows in points.groupby(label.map(_marker)):
        shades = [_colour(one) for one in label[rows.index]]
        # rasterized, because a thousand SVG elements per panel would make the page slow
        axes.scatter(rows["x"], rows["y"], s=size, c=shades, marker=marker, alpha=0.8, linewidths=0, rasterized=True)


def _legend(figure: Figure, source: Source, labels: list[int]) -> None:
    known = source.about["class_names"]
    names = [_name(label, known) for label in labels]
    handles = [
        Line2D([], [], linestyle="", color=_colour(label), marker=_marker(label), markersize=6) for label in labels
    ]
    fitting = max(1, 130 // (max(map(len, names)) + 4))
    figure.legend(
        handles, names, loc="outside upper left", ncols=min(len(names), fitting), fontsize=9,
        handlelength=1, handletextpad=0.3, columnspacing=1.2,
    )  # fmt: skip


def _colour(label: int) -> str:
    return UNLABELLED if label < 0 else CLASSES[label % len(CLASSES)]


def _marker(label: int) -> str:
    return STAR if label < 0 else MARKERS[label // len(CLASSES) % len(MARKERS)]


def _name(label: int, known: list[str]) -> str:
    if label < 0:
        return "no label"
    return str(known[label]) if label < len(known) else f"class {label}"
