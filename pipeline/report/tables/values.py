"""Table values from the rows of a file: keys, means with standard deviations, signed numbers."""

import re
from dataclasses import replace

from pipeline.aggregation import BASELINE
from pipeline.report.rows import Row, significant, why_missing
from pipeline.report.source import Source, number
from pipeline.report.tables.model import NONE, Column, Value, missing

#: Metrics that are counts; their means are shown with one decimal instead of four.
COUNTS = ("dead_bits", "distinct_codes")


def key_columns() -> list[Column]:
    return [Column("method", numeric=False), Column("quantizer", numeric=False), Column("bits", hint="code length")]


def keys(row: Row) -> list[Value]:
    names = [Value(row[name], column=name) for name in ("method", "quantizer")]
    return [*names, whole(row, "bits")]


def whole(row: Row, name: str) -> Value:
    value = number(row[name])
    return missing(name, "no value", shown=False) if value is None else Value(f"{value:.0f}", row[name], name)


def signed(value: float, digits: int) -> str:
    text = f"{value:+.{digits}f}"
    return text if re.search("[1-9a-z]", text) else text[1:]  # no sign if it rounds to zero


def exact(text: str, row: Row, column: str) -> Value:
    """The row's number in this column, shown as ``text``."""
    return Value(text, row[column], column)


def mean(row: Row, name: str, source: Source) -> Value:
    """Mean with its standard deviation, or n/a with the reason."""
    digits = 1 if name in COUNTS else 4
    value = number(row[f"{name}_mean"])
    if value is None:
        return missing(f"{name}_mean", why_missing(row, name, source))
    return replace(exact(f"{value:.{digits}f}", row, f"{name}_mean"), spread=deviation(row, f"{name}_std", digits))


def deviation(row: Row, column: str, digits: int) -> Value:
    """The standard deviation of a mean; n/a for a single run."""
    value = number(row.get(column, ""))
    if value is None:
        return missing(column, f"no standard deviation from n = {row.get('n', '1')}", shown=False)
    return exact(f"{value:.{digits}f}", row, column)


def starred(row: Row, name: str, source: Source) -> Value:
    """A mean, with a star if it differs significantly from the baseline's."""
    value = mean(row, name, source)
    return replace(value, star=value.text != NONE and significant(row, f"{name}_p_value", source))


def change(value: Value, baseline: Value, column: str) -> tuple[Value, Value]:
    """Difference and relative improvement of a mean over the baseline's.

    Args:
        value: the mean.
        baseline: the baseline's mean.
        column: prefix of the two values' columns.

    Returns:
        the difference, and the improvement in percent; n/a if either mean is missing, the improvement also if the
        baseline is not above 0.
    """
    own, base = (number(side.data or "") for side in (value, baseline))
    if own is None or base is None:
        reason = value.reason if own is None else f"no {BASELINE}"
        return missing(f"{column}_difference", reason, shown=False), missing(f"{column}_percent", reason, shown=False)
    difference = Value(signed(own - base, 4), repr(own - base), f"{column}_difference")
    if base <= 0:
        return difference, missing(f"{column}_percent", f"{BASELINE} is not above 0", shown=False)
    percent = 100 * (own - base) / base
    return difference, Value(signed(percent, 2), repr(percent), f"{column}_percent")
