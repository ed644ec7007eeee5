"""Rows of the aggregate stage's files, and what can be asked of one."""

from collections.abc import Iterator

import pandas

from pipeline.report.source import Source, number

Row = dict[str, str]


def records(table: pandas.DataFrame | None) -> Iterator[Row]:
    """The rows of a file; none where the study didn't ask for it."""
    if table is not None:
        yield from table.to_dict("records")


def why_missing(row: Row, name: str, source: Source) -> str:
    """Why a row has no mean: what failed in its cells comes before what the tests say about it."""
    note = row.get(f"{name}_note", "")
    if note and note != "baseline":
        return note
    return source.reason(row["method"], row["quantizer"], row["bits"]) or "no value"


def significant(row: Row, column: str, source: Source) -> bool:
    """Whether the row's p-value is below the study's level, from as many seeds as an effect size needs.

    Below three seeds p says next to nothing, and ``pipeline.statistics`` gives no effect size.
    """
    p, level = number(row.get(column, "")), source.about["significance"]
    metric = column.removesuffix("_p_value").removesuffix("_p_holm")
    enough = row.get(f"{metric}_effect_size") != ""
    return p is not None and p < level and enough
