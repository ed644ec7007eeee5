"""Table of the retrieval metrics other than mAP."""

from pipeline.report.rows import records
from pipeline.report.source import Source
from pipeline.report.tables.captions import split_caption
from pipeline.report.tables.comparison import comparison, comparison_columns, test_caption
from pipeline.report.tables.model import Column, Table, Value
from pipeline.report.tables.values import key_columns, keys, mean


def metrics(source: Source) -> Table:
    """One row per (method, quantizer, bits) and metric other than mAP, compared with the baseline."""
    columns = [
        *key_columns(),
        Column("metric", numeric=False),
        Column("value", hint="mean ± standard deviation over seeds"),
        *comparison_columns(source),
    ]
    rows = [
        [*keys(row), Value(name), mean(row, name, source), *comparison(row, name, source)]
        for name in source.metrics
        for row in records(source.results)
    ]
    caption = [
        "The other metrics, compared with the baseline as mAP is.",
        *_limits(source),
        *split_caption(source),
        *test_caption(source),
    ]
    return Table("metrics", "Precision", caption, columns, rows)


def _limits(source: Source) -> list[str]:
    """Sentences on each precision@n with n above the number of database images or of relevant images."""
    largest, database = source.about.get("largest_class"), source.about["split"]["database"]
    said = []
    for name in source.metrics:
        n = int(name.partition("@")[2]) if name.partition("@")[2].isdigit() else 0
        if n > database:
            said.append(f"{name} counts all {database} images of the database, which has no more.")
        elif largest is not None and n > largest:
            said.append(f"{name} can't exceed {largest / n:.3g}: no class has more than {largest} images.")
    return said
