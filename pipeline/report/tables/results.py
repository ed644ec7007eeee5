"""Table of mAP."""

from dataclasses import replace

from pipeline.aggregation import TIE_BOUNDS
from pipeline.report.rows import Row, records, why_missing
from pipeline.report.source import Source, measured, number
from pipeline.report.tables.captions import protocol_caption
from pipeline.report.tables.comparison import comparison, comparison_columns, test_caption
from pipeline.report.tables.model import Column, Table, Value, missing
from pipeline.report.tables.values import exact, key_columns, keys, mean, whole


def results(source: Source) -> Table:
    """One row per (method, quantizer, bits): mAP, compared with the baseline."""
    bounded = set(TIE_BOUNDS) <= set(measured(source.results))
    bounds_hint = "the same with relevant images last, and first, among tied ones"
    columns = [
        *key_columns(),
        Column(source.map_label, hint="mean ± standard deviation over seeds", plain="map"),
        *([Column("tie bounds", hint=bounds_hint, plain=TIE_BOUNDS[0])] * bounded),
        Column("n", hint="seeds in the mean"),
        *comparison_columns(source),
    ]
    rows = [
        [
            *keys(row),
            mean(row, "map", source),
            *([_bounds(row, source)] if bounded else []),
            whole(row, "n"),
            *comparison(row, "map", source),
        ]
        for row in records(source.results)
    ]
    return Table("results", "Results", [*protocol_caption(source), *test_caption(source)], columns, rows)


def _bounds(row: Row, source: Source) -> Value:
    """Both tie bounds in one cell; the page sorts by the lower one."""
    (low_column, high_column) = (f"{name}_mean" for name in TIE_BOUNDS)
    low, high = number(row[low_column]), number(row[high_column])
    if low is None or high is None:
        return missing(low_column, why_missing(row, "map", source), shown=False)
    upper = Value(f"{high:.4f}", row[high_column], TIE_BOUNDS[1])
    return replace(exact(f"{low:.4f} to {upper.text}", row, low_column), more=(upper,))
