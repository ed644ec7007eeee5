"""Validation mAP by batch size."""

from pipeline.aggregation import BASELINE, KEYS
from pipeline.report.rows import Row, records
from pipeline.report.source import Source
from pipeline.report.tables.captions import split_caption
from pipeline.report.tables.model import Column, Table, Value, missing
from pipeline.report.tables.values import change, key_columns, keys, mean, whole

METRIC = "validation_map"


def batch_size(source: Source) -> Table:
    """One row per (method, quantizer, bits) and batch size, compared with the baseline of the same batch size."""
    columns = [
        *key_columns(),
        Column("batch size"),
        Column("validation mAP", hint="mean ± standard deviation over seeds"),
        Column("n", hint="seeds in the mean"),
        Column(f"Δ {BASELINE}", hint=f"difference to {BASELINE}, same method, bits and batch size", plain="difference"),
        Column("improv. %", hint=f"relative improvement over {BASELINE}, percent", plain="improvement_percent"),
    ]
    rows = list(records(source.batch_size))
    values = {_place(row): mean(row, METRIC, source) for row in rows}
    cells = [[*keys(row), whole(row, "batch_size"), values[_place(row)], whole(row, "n"), *_change(row, values)]
             for row in rows]  # fmt: skip
    caption = [
        "mAP of validation images, which rank the training images: its level is not that of the results table.",
        "Epochs, learning rate and weights are the same at every size and were not tuned for it; larger batches take",
        "fewer steps. The WR paper holds that its regularizer gains from larger ones; compare within a batch size.",
        *split_caption(source),
    ]
    return Table("batch-size", "Batch size", caption, columns, cells)


def _place(row: Row) -> tuple[str, ...]:
    return tuple(row[name] for name in (*KEYS, "batch_size"))


def _change(row: Row, values: dict[tuple[str, ...], Value]) -> tuple[Value, Value]:
    if row["quantizer"] == BASELINE:
        return missing("difference", "baseline", shown=False), missing("percent", "baseline", shown=False)
    baseline = values.get(_place(row | {"quantizer": BASELINE}))
    return change(values[_place(row)], baseline or missing("", "no baseline"), METRIC)
