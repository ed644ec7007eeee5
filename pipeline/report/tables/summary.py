"""Table that counts the comparisons of each quantizer with the baseline."""

from statistics import fmean, median

from pipeline.aggregation import BASELINE, TIE_BOUNDS
from pipeline.report.rows import Row, records, significant
from pipeline.report.source import Source, measured, number
from pipeline.report.tables.model import Column, Table, Value, missing
from pipeline.report.tables.values import signed
from pipeline.statistics import sign_test


def summary(source: Source) -> Table:
    """One row per quantizer: in how many (method, bits) it is higher and lower than the baseline, and by how much."""
    bounded = set(TIE_BOUNDS) <= set(measured(source.results))
    columns = [
        Column("quantizer", numeric=False),
        Column("comparisons", hint=f"pairs of method and bits with {BASELINE}"),
        Column("higher"),
        Column("lower"),
        Column("mean Δ", hint=f"mean of the differences from {BASELINE}", plain="mean_difference"),
        Column("median improv. %", hint="median of the improvements", plain="median_improvement_percent"),
        Column("p < α, higher", hint="before the adjustment for several tests", plain="significantly_higher"),
        Column("p < α, lower", hint="before the adjustment for several tests", plain="significantly_lower"),
        Column("Holm, higher", hint="p (Holm) below α", plain="holm_higher"),
        Column("Holm, lower", hint="p (Holm) below α", plain="holm_lower"),
        *([Column("apart", hint="comparisons whose tie bounds don't overlap", plain="apart")] * bounded),
        Column("sign test", hint="two-sided p-value: higher as often as lower", plain="sign_test_p"),
    ]
    rows = list(records(source.results))
    bases = {(row["method"], row["bits"]): row for row in rows if row["quantizer"] == BASELINE and row["map_mean"]}
    names = [name for name in dict.fromkeys(row["quantizer"] for row in rows) if name != BASELINE]
    compared = {name: [row for row in rows if row["quantizer"] == name and _compared(row, bases)] for name in names}
    caption = [
        f"Comparisons of {source.map_label} with {BASELINE} over all methods and code lengths of the results table.",
        f"α is {source.about['significance']}.",
        "The sign test assumes independent comparisons. These share their images, so it is only approximate.",
    ]
    return Table(
        "summary",
        "Summary of the comparisons",
        caption,
        columns,
        [_row(name, several, bases, source, bounded) for name, several in compared.items() if several],
    )


def _compared(row: Row, bases: dict[tuple[str, str], Row]) -> bool:
    return number(row["map_difference"]) is not None and (row["method"], row["bits"]) in bases


def _row(name: str, rows: list[Row], bases: dict[tuple[str, str], Row], source: Source, bounded: bool) -> list[Value]:
    differences = [float(row["map_difference"]) for row in rows]
    percents = [value for row in rows if (value := number(row["map_improvement_percent"])) is not None]
    mean, p = fmean(differences), sign_test(differences)
    middle = missing("median_improvement_percent", f"{BASELINE} is not above 0", shown=False)
    if percents:
        middle = Value(signed(median(percents), 2), repr(median(percents)), "median_improvement_percent")
    apart = sum(_apart(row, bases[row["method"], row["bits"]]) for row in rows) if bounded else 0
    return [
        Value(name),
        _count(len(rows), "comparisons"),
        _count(sum(value > 0 for value in differences), "higher"),
        _count(sum(value < 0 for value in differences), "lower"),
        Value(signed(mean, 4), repr(mean), "mean_difference"),
        middle,
        _count(_significant(rows, 1, "map_p_value", source), "significantly_higher"),
        _count(_significant(rows, -1, "map_p_value", source), "significantly_lower"),
        _count(_significant(rows, 1, "map_p_holm", source), "holm_higher"),
        _count(_significant(rows, -1, "map_p_holm", source), "holm_lower"),
        *([_count(apart, "apart")] * bounded),
        missing("sign_test_p", "all are equal") if p is None else Value(f"{p:.3g}", repr(p), "sign_test_p"),
    ]


def _count(count: int, column: str) -> Value:
    return Value(str(count), str(count), column)


def _significant(rows: list[Row], sign: int, column: str, source: Source) -> int:
    return sum(sign * float(row["map_difference"]) > 0 and significant(row, column, source) for row in rows)


def _apart(row: Row, base: Row) -> bool:
    """Whether the tie bounds of two rows don't overlap, so that no order of tied images reverses the difference."""
    (low, high), (base_low, base_high) = ([float(one[f"{name}_mean"]) for name in TIE_BOUNDS] for one in (row, base))
    return low > base_high or base_low > high
