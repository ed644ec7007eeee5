"""Table of the retrieval metrics other than mAP: precision, and recall and NDCG where a study asks for them."""

from pipeline.report.rows import records
from pipeline.report.source import Source
from pipeline.report.tables.captions import split_caption
from pipeline.report.tables.comparison import comparison, comparison_columns, test_caption
from pipeline.report.tables.model import Column, Table, Value
from pipeline.report.tables.values import key_columns, keys, mean

#: Kinds of metrics, which their names begin with, in the order of the table's title.
TITLES = {"precision": "precision", "recall": "recall", "ndcg": "NDCG"}
#: Sentences on what a kind is.
MEANINGS = {
    "recall": "recall@n: relevant images among the first n, of all relevant images in the database.",
    "ndcg": "ndcg@n: the sum over the first n ranks of the labels shared with the query, divided by log2(rank + 1), "
    "as a part of that of the best ranking of the database.",
}


def metrics(source: Source) -> Table:
    """One row per (method, quantizer, bits) and metric other than mAP, compared with the baseline."""
    columns = [
        *key_columns(),
        Column("metric", numeric=False),
        Column("value", hint="mean ± standard deviation over seeds"),
        *comparison_columns(source),
    ]
    kinds = [kind for kind in TITLES if any(name.startswith(f"{kind}@") for name in source.metrics)]
    rows = [
        [*keys(row), Value(name), mean(row, name, source), *comparison(row, name, source)]
        for name in source.metrics
        for row in records(source.results)
    ]
    caption = [
        "The other metrics, compared with the baseline as mAP is.",
        *(MEANINGS[kind] for kind in kinds if kind in MEANINGS),
        *_limits(source),
        *split_caption(source),
        *test_caption(source),
    ]
    return Table("metrics", _title(kinds), caption, columns, rows)


def _title(kinds: list[str]) -> str:
    *others, last = [TITLES[kind] for kind in kinds] or ["precision"]
    title = f"{', '.join(others)} and {last}" if others else last
    return title[0].upper() + title[1:]


def _limits(source: Source) -> list[str]:
    """Sentences on metrics at n, with n above the number of database images or, for precision, of relevant images."""
    largest, database = source.about.get("largest_class"), source.about["split"]["database"]
    said = []
    for name in source.metrics:
        n = int(name.partition("@")[2]) if name.partition("@")[2].isdigit() else 0
        if n > database:
            said.append(f"{name} counts all {database} images: the database has no more.")
        elif name.startswith("precision@") and largest is not None and n > largest:
            said.append(f"{name} can't exceed {largest / n:.3g}: no class has more than {largest} images.")
    return said
