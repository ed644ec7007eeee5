"""A value in one line of text."""

from pipeline.report.tables.model import Value


def line(value: Value) -> str:
    spread = f" ± {value.spread.text}" if value.spread else ""
    return value.text + spread + "*" * value.star + (f" ({value.note})" if value.note else "")
