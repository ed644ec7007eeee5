"""Helpers for the rows of the aggregate stage's files."""

from collections.abc import Iterator

import pandas

from pipeline.report.source import Source, number

Row = dict[str, str]


def records(table: pandas.DataFrame | None) -> Iterator[Row]:
    """The rows of a table; none if the study has no such table."""
    if table is not None:
        yield from table.to_dict("records")


def why_missing(row: Row, name: str, source: Source) -> str:
    """Why a row has no mean: its note (missing cells, or no test), else the reasons of its missing cells."""
    note = row.get(f"{name}_note", "")
    if note and note != "baseline":
        return note
    return source.reason(row["method"], row["quantizer"], row["bits"]) or "no value"


def significant(row: Row, column: str, source: Source) -> bool:
    """Whether the row's p-value is below the study's significance level and the row has an effect size.

    ``pipeline.statistics`` gives no effect size below three seeds, where the p-value is not reliable either.

    Args:
        row: a row of an aggregated table.
        column: ``<metric>_p_value`` or ``<metric>_p_holm``.
        source: the aggregated tables.
    """
    p, level = number(row.get(column, "")), source.about["significance"]
    metric = column.removesuffix("_p_value").removesuffix("_p_holm")
    enough = row.get(f"{metric}_effect_size") != ""
    return p is not None and p < level and enough
