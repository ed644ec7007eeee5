"""Table of training seconds per epoch by batch size."""

from dataclasses import replace

from pipeline.aggregation import BASELINE
from pipeline.report.rows import Row, records
from pipeline.report.source import Source, number
from pipeline.report.tables.model import Column, Table, Value, missing
from pipeline.report.tables.values import deviation, exact, key_columns, keys, signed, whole


def timing(source: Source) -> Table:
    """One row per (method, quantizer, bits) and batch size."""
    columns = [
        *key_columns(),
        Column("batch size"),
        Column("epochs", hint="timed"),
        Column("seconds", hint="an epoch, median ± standard deviation over the timed epochs"),
        Column("overhead %", hint=f"over {BASELINE} of the same method, bits and batch size"),
    ]
    rows = [
        [*keys(row), whole(row, "batch_size"), whole(row, "epochs"), _seconds(row), _overhead(row)]
        for row in records(source.timing)
    ]
    caption = [
        "Seconds of training an epoch: the median of the timed epochs, on the machine that ran the study.",
        f"Overhead: what the quantizer takes beyond {BASELINE}, in percent of the latter.",
    ]
    return Table("timing", "Training time", caption, columns, rows)


def _seconds(row: Row) -> Value:
    value = number(row["seconds_median"])
    if value is None:
        return missing("seconds_median", "not timed")
    spread = deviation(row | {"n": row["epochs"]}, "seconds_std", 3)
    return replace(exact(f"{value:.3f}", row, "seconds_median"), spread=spread)


def _overhead(row: Row) -> Value:
    value = number(row["overhead_percent"])
    if value is None:
        reason = "baseline" if row["quantizer"] == BASELINE else f"no {BASELINE} of this batch size"
        return missing("overhead_percent", reason)
    return exact(signed(value, 1), row, "overhead_percent")
