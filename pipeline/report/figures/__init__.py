"""The report's figures, one module each; without pyplot, so that they do not depend on a user's backend or style."""

from pathlib import Path

import matplotlib.style

from pipeline.report.figures import (
    batch_size,
    bits,
    gallery,
    improvement,
    losses,
    map_by_method,
    precision_recall,
    timing,
    tsne,
    tuning,
    validation,
)
from pipeline.report.figures.saving import Group, SavedFigure, save
from pipeline.report.figures.style import STYLE, shades
from pipeline.report.source import Source

__all__ = ["Group", "SavedFigure", "draw", "shades"]

#: Page order. Figures with raster images come last, so that they are the ones linked if the page gets too large.
FIGURES = (
    improvement,
    map_by_method,
    bits,
    tuning,
    batch_size,
    timing,
    validation,
    precision_recall,
    losses,
    tsne,
    gallery,
)


def draw(source: Source, folder: Path) -> list[Group]:
    """Draw every figure that has numbers, and save each as SVG and PNG.

    Args:
        source: the aggregated tables.
        folder: an existing folder for the files.

    Returns:
        the figures in page order, grouped by kind.

    Raises:
        UserError: a gallery's image is missing or unreadable, or is not the grid that ``gallery.csv`` describes.
    """
    with matplotlib.style.context(["default", STYLE]):
        groups = [save(group, folder) for module in FIGURES for group in module.groups(source)]
    return [group for group in groups if group.figures]
