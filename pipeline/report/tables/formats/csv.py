"""A table as CSV: every number in full precision and in its own column."""

import csv
import io
import re
from collections.abc import Iterator

from pipeline.report.tables.model import Column, Table, Value


def csv_text(table: Table) -> str:
    """The table as CSV, with a header of plain names.

    Each column of the table becomes one column of the file. It is followed by those of these columns that any of its
    values needs: ``<name>_std`` (the standard deviation), one column for each further number that the text shows (by
    that number's own name), ``<name>_star`` (yes or empty) and ``<name>_note``. A missing number is an empty field.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    filled = [_filled(column, [row[place] for row in table.rows]) for place, column in enumerate(table.columns)]
    writer.writerow([name for parts in filled for name, _ in parts])
    writer.writerows([[texts[place] for parts in filled for _, texts in parts] for place in range(len(table.rows))])
    return stream.getvalue()


def _filled(column: Column, values: list[Value]) -> list[tuple[str, list[str]]]:
    """The file's columns for one column of the table: the name and the fields of each."""
    name = plain_name(column.plain or column.title)
    parts = [(name, [value.text if value.data is None else value.data for value in values])]
    if any(value.spread for value in values):
        parts.append((f"{name}_std", [_data(value.spread) for value in values]))
    parts += _further(values)
    if any(value.star for value in values):
        parts.append((f"{name}_star", ["yes" * value.star for value in values]))
    if any(value.note for value in values):
        parts.append((f"{name}_note", [value.note for value in values]))
    return parts


def _further(values: list[Value]) -> Iterator[tuple[str, list[str]]]:
    kinds = dict.fromkeys(part.column for value in values for part in value.more)
    for kind in kinds:
        found = [next((part for part in value.more if part.column == kind), None) for value in values]
        yield plain_name(kind), [_data(part) for part in found]


def plain_name(text: str) -> str:
    """``text`` as a header: lower case; characters other than a-z, 0-9 and @ become underscores, % ``percent``."""
    return re.sub(r"[^a-z0-9@]+", "_", text.lower().replace("%", "percent")).strip("_")


def _data(value: Value | None) -> str:
    return "" if value is None else value.data or ""
