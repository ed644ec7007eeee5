"""A table, independent of its output format."""

from dataclasses import dataclass

#: Shown instead of a missing number, together with the reason.
NONE = "n/a"


@dataclass(frozen=True)
class Value:
    """One table cell.

    Attributes:
        text: the text shown.
        data: the full-precision text from the file; None in a text cell.
        column: the file's column.
        spread: the standard deviation of a mean.
        reason: why there is no number.
        note: a remark that is always visible.
        star: whether p is below the significance level.
        more: further numbers that ``text`` already shows; CSV files write each in its own column.
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
    """A column's heading.

    Attributes:
        title: the text shown.
        numeric: whether the column is right-aligned.
        hint: a short explanation.
        plain: the name in a CSV file; the title if empty.
    """

    title: str
    numeric: bool = True
    hint: str = ""
    plain: str = ""


@dataclass(frozen=True)
class Table:
    """A table with its caption.

    Attributes:
        name: the element's id on the page, and the name of the table's files.
        title: the heading.
        caption: sentences.
        columns: the headings.
        rows: one value per column.
    """

    name: str
    title: str
    caption: list[str]
    columns: list[Column]
    rows: list[list[Value]]


def missing(column: str, reason: str, *, shown: bool = True) -> Value:
    """A missing number with its reason, which is always visible if ``shown``, otherwise a hint on the page."""
    return Value(NONE, "", column, reason=reason, note=reason if shown else "")
