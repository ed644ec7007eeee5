"""The report's figures, a file each, drawn without pyplot so that nothing depends on a user's backend or style."""

from pathlib import Path

import matplotlib.style

from pipeline.report.figures import (
    batch_size,
    bits,
    gallery,
    losses,
    map_by_method,
    precision_recall,
    timing,
    tsne,
    tuning,
    validation,
)
from pipeline.report.figures.saving import Group, Picture, save
from pipeline.report.figures.style import STYLE, shades
from pipeline.report.source import Source

__all__ = ["Group", "Picture", "draw", "shades"]

#: Page order. Those with pixels come last: where the page is full, they are the ones that are linked instead.
FIGURES = (map_by_method, bits, tuning, batch_size, timing, validation, precision_recall, losses, tsne, gallery)


def draw(source: Source, folder: Path) -> list[Group]:
    """Draw every figure for which there are numbers, and save each as SVG and PNG.

    Args:
        source: the aggregated tables.
        folder: an existing folder for the files.

    Returns:
        the figures in page order, those of a kind together.

    Raises:
        UserError: a gallery's picture is missing, or isn't the grid that ``gallery.csv`` describes.
    """
    with matplotlib.style.context(["default", STYLE]):
        groups = [save(group, folder) for module in FIGURES for group in module.groups(source)]
    return [group for group in groups if group.pictures]
