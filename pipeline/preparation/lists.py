"""Lists of images with their labels: text files of ``path y1 ... yC`` lines, each y 0 or 1.

The hashing literature (HashNet, DCH, ...) publishes datasets and splits in this format. Columns are separated by
blanks, so a path can't contain blanks.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.runtime.errors import UserError


@dataclass(frozen=True)
class Listed:
    """The n images of a list.

    Args:
        lines: line numbers (from 1) by the image's path, in the order of the list.
        labels: (n, C) uint8 of 0/1.
    """

    lines: dict[str, int]
    labels: npt.NDArray[np.uint8]


def lines(text: str) -> list[tuple[int, str]]:
    """The stripped, non-empty lines of a text, each with its line number (from 1)."""
    # Not splitlines, which also splits at characters that a file name may contain.
    return [(number, line.strip()) for number, line in enumerate(text.split("\n"), 1) if line.strip()]


def read(text: str, place: str, columns: int | None, why: str, cleaned: Callable[[str, str], str]) -> Listed:
    """Read the content of a list.

    Args:
        text: the content.
        place: the file's path, for error messages.
        columns: C; None to use the number of columns of the first line.
        why: the origin of ``columns``, for the error message.
        cleaned: normalizes a path, given the path and its file and line; may raise ``UserError``.

    Raises:
        UserError: a wrong number of columns, a y that is neither 0 nor 1, a path that occurs twice, or no lines. The
            message names the file and the line.
    """
    seen: dict[str, int] = {}
    rows: list[bytes] = []
    for number, line in lines(text):
        where = f"{place}:{number}"
        path, *values = line.split()
        if columns is None:
            columns, why = len(values), f"as line {number} has"
        _refuse_wrong(values, columns, why, where)
        add(seen, cleaned(path, where), number, where)
        rows.append("".join(values).encode())
    if columns is None or not rows:
        raise UserError(f"{place}: expected lines of a path and labels, found no lines")
    labels = np.frombuffer(b"".join(rows), dtype=np.uint8).reshape(-1, columns) - ord("0")
    return Listed(seen, labels.astype(np.uint8))


def _refuse_wrong(values: list[str], columns: int, why: str, where: str) -> None:
    """Raise ``UserError`` for the labels of a line that are not ``columns`` values of 0 or 1."""
    if len(values) != columns or not values:
        raise UserError(
            f"{where}: expected a path without blanks and {columns or 'some'} columns of 0 or 1 ({why}), "
            f"found {len(values)} columns"
        )
    if columns == 1:
        raise UserError(
            f"{where}: one column after the path; expected one of 0 or 1 for each of at least two classes. If "
            f"{values[0]} is the number of the image's class, write a CSV with the columns path and label"
        )
    wrong = [value for value in values if value not in ("0", "1")]
    if wrong:
        raise UserError(f"{where}: expected 0 or 1 after the path, found {wrong[0]!r}")


def add(seen: dict[str, int], path: str, number: int, where: str) -> None:
    """Record the line number of a path.

    Args:
        seen: line numbers by path; ``path`` is added.
        path: the path.
        number: its line number.
        where: file and line, for the error message.

    Raises:
        UserError: the path is already on another line.
    """
    if path in seen:
        raise UserError(f"{where}: {path} is already on line {seen[path]}")
    seen[path] = number
