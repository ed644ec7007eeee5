"""Saves figures as SVG and PNG files, and as inline SVG for the page."""

import base64
import io
import re
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

from pipeline.report.figures.style import AXIS, GRID, INK, PALETTE, PAPER, FigureGroup

#: An embedded image is compressed only if its Base64 text has more characters.
SMALL = 8_000


@dataclass(frozen=True)
class SavedFigure:
    """A figure on the page; ``svg`` is the inline element, empty if the page links the file instead."""

    name: str
    title: str
    svg: str


@dataclass(frozen=True)
class Group:
    """Figures of one kind under one title and caption; ``name`` is the element's id on the page."""

    name: str
    title: str
    caption: str
    figures: list[SavedFigure]


def save(group: FigureGroup, folder: Path) -> Group:
    """Draw a group's figures and write each as SVG and PNG to ``folder``."""
    figures = [SavedFigure(draft.name, draft.title, _write(draft.figure, folder, draft.name)) for draft in group.drafts]
    return Group(f"figure-{group.name}", group.title, group.caption, figures)


def _write(figure: Figure, folder: Path, name: str) -> str:
    """Write the SVG and PNG files, and return the element for the page.

    The files contain no dates or versions, so that the same figure gives the same bytes.
    """
    if layout := figure.get_layout_engine():
        layout.execute(figure)
        figure.set_layout_engine(None)  # otherwise each savefig would compute the layout again
    path = folder / f"{name}.svg"
    figure.savefig(path, dpi=144, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    figure.savefig(path.with_suffix(".png"), dpi=144, metadata={"Software": None})
    svg = re.sub(r"data:image/png;base64,\s*([A-Za-z0-9+/=\s]+)", _lighter, path.read_text(encoding="utf-8"))
    path.write_text(svg, encoding="utf-8", newline="\n")
    return _inline(svg, name)


def _inline(svg: str, name: str) -> str:
    """The ``<svg>`` element for the page: unique ids, no fixed size, colours of the page's light or dark scheme."""
    element = svg[svg.index("<svg") :]
    element = re.sub(r'\bid="', f'id="{name}-', element)
    element = re.sub(r'(xlink:href="|url\()#', rf"\1#{name}-", element)
    element = re.sub(r'^<svg ([^>]*?)width="[^"]*"', r"<svg \1", element)
    element = re.sub(r'^<svg ([^>]*?)height="[^"]*"', r"<svg \1", element)
    series = {color: f"series-{place}" for place, color in enumerate(PALETTE)}
    for color, variable in ({INK: "ink", AXIS: "axis", GRID: "grid"} | series).items():
        element = re.sub(rf"\b(fill|stroke): {color}", rf"\1: var(--{variable})", element)
    return element.replace(f"fill: {PAPER}", "fill: none")


def _lighter(found: re.Match[str]) -> str:
    """Reduce an embedded image to 256 colours, a third of the size; the PNG file keeps all colours."""
    encoded = re.sub(r"\s", "", found[1])
    if len(encoded) > SMALL:
        target = io.BytesIO()
        image = Image.open(io.BytesIO(base64.b64decode(encoded))).convert("RGBA")
        image.quantize(256, Image.Quantize.FASTOCTREE).save(target, "PNG", optimize=True)
        encoded = min(encoded, base64.b64encode(target.getvalue()).decode(), key=len)
    return f"data:image/png;base64,{encoded}"
