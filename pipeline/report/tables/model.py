"""A table, independent of the form it is shown in."""

from dataclasses import dataclass

#: What stands where there is no number; the reason stands beside it.
NONE = "n/a"


@dataclass(frozen=True)
class Value:
    """One table cell.

    ``text`` is what is shown, ``data`` the full-precision text from the file (None in a text cell),
    ``column`` the file's column, ``spread`` the standard deviation beside a mean, ``reason`` why there is no
    number, ``note`` a remark that is always visible, ``star`` whether p is below the significance level,
    ``more`` further numbers that ``text`` shows already, for the files that hold every number in a column of its own.
    """

    text: str
    data: str | None = None
    column: str = ""
    spread: "Value | None" = None
    reason: str = ""
    note: str = ""
    star: bool = False
    more: tuple["Value", ...] = ()


@dataclass(frozen=True)
class Column:
    """A heading; ``hint`` explains it in a few words, ``numeric`` columns are right-aligned.

    ``plain`` is its name in a CSV file; left out, it is the title.
    """

    title: str
    numeric: bool = True
    hint: str = ""
    plain: str = ""


@dataclass(frozen=True)
class Table:
    """A table with its caption; ``name`` is the element's id on the page and the name of its files."""

    name: str
    title: str
    caption: list[str]
    columns: list[Column]
    rows: list[list[Value]]


def missing(column: str, reason: str, *, shown: bool = True) -> Value:
    """No number, and why; the reason is always visible where ``shown``, else it is a hint."""
    return Value(NONE, "", column, reason=reason, note=reason if shown else "")
