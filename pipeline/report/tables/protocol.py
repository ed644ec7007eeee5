"""Table of the study's settings."""

from collections.abc import Iterator
from typing import Any

from pipeline.report.source import Source
from pipeline.report.tables.model import Column, Table, Value

#: Keys of ``about.json`` that have their own table.
ELSEWHERE = ("missing",)


def protocol(source: Source) -> Table:
    """One row per setting in ``about.json``; nested settings have dotted names."""
    columns = [Column("setting", numeric=False), Column("value", numeric=False)]
    settings = {name: value for name, value in source.about.items() if name not in ELSEWHERE}
    rows = [[Value(name), Value(text)] for name, text in _flat(settings)]
    return Table("protocol", "Protocol", ["Everything that was fixed for this study."], columns, rows)


def setting(value: Any) -> str:
    """A setting's value as text."""
    if value is None or value == {} or value == []:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(setting, value)) if isinstance(value, list) else str(value)


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else str(key))
    else:
        yield name, setting(value)
