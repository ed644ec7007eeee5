"""Table of the mutual information of images and codes, if measured."""

from pipeline.report.rows import records
from pipeline.report.source import Source, measured
from pipeline.report.tables.captions import split_caption
from pipeline.report.tables.comparison import comparison, comparison_columns, test_caption
from pipeline.report.tables.model import Column, Table, Value
from pipeline.report.tables.values import key_columns, keys, mean


def informativeness(source: Source) -> Table:
    """One row per (method, quantizer, bits) and part of the split; no rows if it was not measured."""
    columns = [
        *key_columns(),
        Column("images", numeric=False, hint="part of the split"),
        Column("nats", hint="mean ± standard deviation over seeds"),
        *comparison_columns(source),
    ]
    table = source.informativeness
    rows = [
        [*keys(row), Value(part(name)), mean(row, name, source), *comparison(row, name, source)]
        for name in ([] if table is None else measured(table))
        for row in records(table)
    ]
    caption = [
        "Mutual information of images and codes in nats, estimated by MINE (Belghazi et al. 2018).",
        "Each value is the Donsker-Varadhan lower bound on held-out pairs; a negative one is a loose bound.",
        *split_caption(source),
        *test_caption(source),
    ]
    return Table("informativeness", "Informativeness", caption, columns, rows)


def part(name: str) -> str:
    return name.removeprefix("informativeness_")
