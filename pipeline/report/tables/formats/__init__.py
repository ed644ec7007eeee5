"""A table's formats besides HTML: Markdown, plain text, CSV and LaTeX, one module each."""

from pathlib import Path

from pipeline.report.tables.formats.csv import csv_text
from pipeline.report.tables.formats.latex import latex
from pipeline.report.tables.formats.markdown import markdown, markdown_table
from pipeline.report.tables.formats.plain import plain
from pipeline.report.tables.model import Table

__all__ = ["csv_text", "latex", "markdown", "plain", "write_files"]

KINDS = {"csv": csv_text, "md": markdown_table, "tex": latex}


def write_files(tables: list[Table], folder: Path) -> None:
    """Write every table as ``<name>.csv``, ``.md`` and ``.tex`` to a new folder."""
    folder.mkdir()
    for table in tables:
        for kind, form in KINDS.items():
            (folder / f"{table.name}.{kind}").write_text(form(table), encoding="utf-8", newline="\n")
