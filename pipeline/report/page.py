"""Writes the report: one self-contained HTML page, and the same tables and figures as files."""

import base64
import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from pipeline.aggregation import BASELINE
from pipeline.report import figures
from pipeline.report.source import Source, read
from pipeline.report.tables import Table, build, markdown, plain, write_files

HERE = Path(__file__).parent
#: Limit of inline SVG in characters. Further figures are linked, so that the largest study's page opens on a phone.
INLINE_LIMIT = 5_000_000
#: The largest number of entries of a table of contents that is not folded.
FLAT = 13


def write(tables: Path, target: Path, commit: str = "") -> None:
    """Write the report of one study; the same input gives the same bytes.

    Args:
        tables: the aggregate stage's folder.
        target: an existing empty folder. Gets ``index.html``, ``results.md``, ``results.txt``,
            ``tables/*.csv``, ``*.md`` and ``*.tex``, and ``figures/*.svg`` and ``*.png``.
        commit: the commit of the code and params, shown at the top of the page.

    Raises:
        UserError: an input file is missing or invalid.
    """
    source = read(tables)
    built = build(source)
    title = f"Study {source.about['study']}"
    write_files(built, target / "tables")
    folder = target / "figures"
    folder.mkdir()
    groups = figures.draw(source, folder)
    texts = {
        "results.md": markdown(built, title),
        "results.txt": plain(built[0], title),
        "index.html": page(source, built, groups, commit),
    }
    for name, text in texts.items():
        (target / name).write_text(text, encoding="utf-8", newline="\n")


def page(source: Source, tables: list[Table], groups: list[figures.Group], commit: str = "") -> str:
    """Render the page as HTML.

    Args:
        source: the aggregated tables.
        tables: the report's tables, first the results table.
        groups: the figures.
        commit: the commit of the code and params, shown at the top of the page; nothing is shown if empty.
    """
    environment = Environment(
        autoescape=True,
        loader=FileSystemLoader(HERE),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script = (HERE / "sort.js").read_text(encoding="utf-8")
    shown = within(INLINE_LIMIT, groups)
    return environment.get_template("page.html").render(
        source=source,
        about=source.about,
        commit=commit,
        baseline=BASELINE,
        shades=figures.shades(source),
        results=tables[0],
        tables=tables[1:],
        contents=contents(tables, groups),
        groups=shown,
        pixels=any("data:image" in figure.svg for group in shown for figure in group.figures),
        style=Markup((HERE / "style.css").read_text(encoding="utf-8")),
        script=Markup(script),
        script_hash=_hash(script),
        **_facts(source, tables),
    )


@dataclass(frozen=True)
class Entry:
    """An entry of the table of contents; its ``inner`` entries are folded."""

    title: str
    anchor: str
    inner: list["Entry"] = field(default_factory=list)


def contents(tables: list[Table], groups: list[figures.Group]) -> list[Entry]:
    """The table of contents, in page order.

    If a flat list has more than ``FLAT`` entries, the figures and the further tables are one folded entry each.
    """
    results, *others = [Entry(table.title, f"{table.name}-section") for table in tables]
    figures = [Entry(group.title, group.name) for group in groups]
    start = [results, Entry("How to read this", "reading")]
    flat = [*start, *([Entry("Figures", "figures")] if figures else []), *others]
    if len(flat) <= FLAT:
        return flat
    folded = [Entry("Figures", "figures", figures), Entry("Further tables", "tables", others)]
    return [*start, *(entry for entry in folded if entry.inner)]


def within(limit: int, groups: list[figures.Group]) -> list[figures.Group]:
    """Keep inline SVGs, in page order, that fit in ``limit`` characters in total; clear the others."""
    shown = []
    for group in groups:
        figures = []
        for figure in group.figures:
            fits = len(figure.svg) <= limit
            limit -= len(figure.svg) * fits
            figures.append(figure if fits else replace(figure, svg=""))
        shown.append(replace(group, figures=figures))
    return shown


def _hash(script: str) -> str:
    """The script's hash for the page's Content-Security-Policy, which blocks all other scripts."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _facts(source: Source, tables: list[Table]) -> dict[str, Any]:
    """Counts for the page's running text."""
    tested = sum(1 for p in source.results["map_p_value"] if p not in ("", "nan"))
    missing = len(source.missing) - len(source.unmeasured)
    listing = any(table.name == "missing" for table in tables)
    return {"tested": tested, "cells": len(source.cells), "missing": missing, "missing_listed": listing}
