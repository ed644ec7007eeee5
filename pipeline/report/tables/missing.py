"""Table of the cells without numbers, with the reasons."""

from pipeline.report.source import Source
from pipeline.report.tables.model import Column, Table, Value
from pipeline.report.tables.values import key_columns


def missing_cells(source: Source) -> Table:
    """One row per cell or other output without numbers; no rows if nothing is missing."""
    columns = [*key_columns(), Column("seed"), Column("reason", numeric=False)]
    rows = [
        [
            *(Value(str(cell[name]), column=name) for name in ("method", "quantizer")),
            *(Value(str(cell[name]), str(cell[name]), name) for name in ("bits", "seed")),
            Value(str(cell["reason"])),
        ]
        for cell in source.missing
    ]
    caption = [
        "Cells of the grid that have no numbers; they are left out of every mean, and n counts those that are in.",
        "Where only some seeds failed, a mean is over the others, which may flatter it.",
    ]
    return Table("missing", "Missing cells", caption, columns, rows)
