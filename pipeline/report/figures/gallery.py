"""Queries and their nearest images in the database, a figure per cell."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image, UnidentifiedImageError

from pipeline.report.figures.style import AXIS, INK, WIDTH, FigureDraft, FigureGroup, numeric, slug
from pipeline.report.source import AGAIN, Source
from pipeline.runtime.errors import UserError

CAPTION = (
    "Left: the query; beside it its nearest images in the database by Hamming distance, nearest first. Solid frame and "
    "✓: shares a class with the query; dashed frame and ✗: doesn't. Below each image: its distance and its (first) "
    "class. The queries were drawn at random; images at equal distance are in the order of the database."
)
RIGHT, WRONG = "#009e73", "#d55e00"  # the palette's green and vermilion, which the page's dark scheme lightens
KEYS = ["method", "quantizer", "bits", "seed"]


def groups(source: Source) -> Iterator[FigureGroup]:
    if source.gallery is not None:
        yield FigureGroup("gallery", "Nearest images of random queries", CAPTION, _sketches(source))


def _sketches(source: Source) -> Iterator[FigureDraft]:
    assert source.gallery is not None
    several = [key for key in KEYS if source.gallery[key].nunique() > 1 or key in ("method", "quantizer")]
    for cell, rows in source.gallery.groupby(KEYS, sort=False):
        key = dict(zip(KEYS, cell, strict=True))
        name = "-".join(cell)
        shown = {"bits": f"{key['bits']} bits", "seed": f"seed {key['seed']}"}
        right = f"{(rows['relevant'] == 'yes').sum()} of {len(rows)} right"
        title = f"{', '.join(shown.get(part, key[part]) for part in several)}: {right}"
        figure = draw(numeric(rows), source.folder / "gallery" / f"{name}.png")
        yield FigureDraft(f"gallery-{slug(name)}", title, figure)


def draw(rows: pandas.DataFrame, path: Path) -> Figure:
    """Draw one cell's tiles as a grid with gaps and frames; small tiles are scaled up without interpolation.

    Args:
        rows: the cell's rows of ``gallery.csv``, as numbers.
        path: the cell's image of all tiles.

    Raises:
        UserError: the image is missing or unreadable, or is not the grid that the rows describe.
    """
    queries, ranks = sorted(rows["row"].unique()), sorted(rows["rank"].unique())
    tiles = _tiles(path, len(queries), 1 + len(ranks))
    side = tiles.shape[2]
    sheet, pitch = _sheet(tiles)
    height, width = sheet.shape[:2]
    figure = Figure(figsize=(WIDTH, WIDTH * height / width))
    axes = figure.add_axes((0.002, 0.002, 0.996, 0.996))  # margin for half of a frame's line width
    axes.set_axis_off()
    axes.imshow(sheet, interpolation="none", extent=(0, width, height, 0))
    of_query = dict(zip(rows["row"], rows["query_classes"], strict=True))
    for line, row in enumerate(queries):
        _mark(axes, (0, line * pitch[0]), side, _short(of_query[row]), edgecolor=AXIS, linewidth=1)
    for hit in rows.itertuples():
        place = ((1 + ranks.index(hit.rank)) * pitch[1], queries.index(hit.row) * pitch[0])
        right = hit.relevant == "yes"
        frame = {
            "edgecolor": RIGHT if right else WRONG,
            "linestyle": "-" if right else (0, (2.5, 1.5)),
            "linewidth": 2.2,
        }
        _mark(axes, place, side, f"{'✓' if right else '✗'} {hit.distance:g} {_short(hit.classes)}", **frame)
    return figure


def _short(classes: str) -> str:
    """Shorten class names to fit below a tile: the first one, and the number of others."""
    first, _, others = str(classes).partition("|")
    name = first if len(first) <= 9 else f"{first[:8]}…"
    return f"{name} +{others.count('|') + 1}" if others else name


def _tiles(path: Path, rows: int, columns: int) -> Any:
    """Read the tiles: (rows, columns, side, side, 3) uint8."""
    try:
        image = np.asarray(Image.open(path).convert("RGB"))
    except FileNotFoundError:
        raise UserError(f"{path} is missing: gallery.csv names its cell. {AGAIN}") from None
    except (OSError, UnidentifiedImageError) as error:
        raise UserError(f"{path} cannot be read as an image ({error}). {AGAIN}") from None
    side = image.shape[0] // rows
    if image.shape != (rows * side, columns * side, 3) or side == 0:
        size = f"{image.shape[1]} x {image.shape[0]} pixels"
        raise UserError(f"{path} is {size}, not {rows} rows of {columns} square tiles as in gallery.csv. {AGAIN}")
    return image.reshape(rows, side, columns, side, 3).swapaxes(1, 2)


def _sheet(tiles: Any) -> tuple[Any, tuple[int, int]]:
    """An RGBA image of the tiles with transparent gaps, and the pitch of the tiles in pixels (down, across)."""
    rows, columns, side = tiles.shape[:3]
    pitch = side + max(3, round(side * 0.36)), side + max(1, round(side * 0.14))
    sheet = np.zeros((rows * pitch[0], columns * pitch[1], 4), np.uint8)
    for row in range(rows):
        for column in range(columns):
            top, left = row * pitch[0], column * pitch[1]
            sheet[top : top + side, left : left + side, :3] = tiles[row, column]
            sheet[top : top + side, left : left + side, 3] = 255
    return sheet, pitch


def _mark(axes: Axes, place: tuple[int, int], side: int, text: str, **frame: Any) -> None:
    """Draw a frame around a tile and a line of text below it."""
    axes.add_patch(Rectangle(place, side, side, fill=False, clip_on=False, **frame))
    below = place[1] + side * 1.06
    axes.text(place[0] + side / 2, below, text, ha="center", va="top", fontsize=8.5, color=INK)
