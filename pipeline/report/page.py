"""The report as one page, with everything that it needs inside, and the files beside it."""

import base64
import hashlib
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from pipeline.aggregation import BASELINE
from pipeline.report import figures
from pipeline.report.source import Source, read
from pipeline.report.tables import Table, build, markdown, plain, write_files

HERE = Path(__file__).parent


def write(tables: Path, target: Path) -> None:
    """Write the report of one study; the same input gives the same bytes.

    Args:
        tables: the aggregate stage's folder.
        target: an existing empty folder. Gets ``index.html``, ``results.md``, ``results.txt``,
            ``tables/*.csv``, ``*.md`` and ``*.tex``, and ``figures/*.svg`` and ``*.png``.

    Raises:
        UserError: an input file is missing, or cannot be read as what it should be.
    """
    source = read(tables)
    built = build(source)
    title = f"Study {source.about['study']}"
    write_files(built, target / "tables")
    folder = target / "figures"
    folder.mkdir()
    pictures = figures.draw(source, folder)
    texts = {
        "results.md": markdown(built, title),
        "results.txt": plain(built[0], title),
        "index.html": page(source, built, pictures),
    }
    for name, text in texts.items():
        (target / name).write_text(text, encoding="utf-8", newline="\n")


def page(source: Source, tables: list[Table], pictures: list[figures.Picture]) -> str:
    """The page as text."""
    environment = Environment(
        autoescape=True,
        loader=FileSystemLoader(HERE),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script = (HERE / "sort.js").read_text(encoding="utf-8")
    return environment.get_template("page.html").render(
        source=source,
        about=source.about,
        baseline=BASELINE,
        shades=figures.shades(source),
        tables={table.name: table for table in tables},
        pictures=[(picture, Markup(picture.svg)) for picture in pictures],
        style=Markup((HERE / "style.css").read_text(encoding="utf-8")),
        script=Markup(script),
        script_hash=_hash(script),
        **_facts(source),
    )


def _hash(script: str) -> str:
    """The script's name in the page's content policy: no other script can run there."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _facts(source: Source) -> dict[str, Any]:
    """Counts for the page's running text."""
    tested = sum(1 for p in source.results["map_p_value"] if p not in ("", "nan"))
    return {"tested": tested, "cells": len(source.cells), "missing": source.missing_cells}
