"""Text files that list images and their labels, as several datasets use them."""

from pathlib import PurePosixPath

import numpy as np
import numpy.typing as npt

from pipeline.datasets._files import Files, inside
from pipeline.runtime.errors import UserError

CLASSES = "classes.txt"


def placed(labels: str) -> str:
    """Normalize the value of ``dataset.labels``: the name of a list file, relative to the dataset's root."""
    return inside(labels, "dataset.labels")


def lines(files: Files, name: str) -> list[tuple[int, str]]:
    """The stripped, non-empty lines of a text file, each with its line number (from 1)."""
    # Not splitlines, which also splits at characters that a file name may contain.
    return [(number, line.strip()) for number, line in enumerate(files.text(name).split("\n"), 1) if line.strip()]


def class_names(files: Files, beside: str) -> list[str] | None:
    """Class names from ``classes.txt``, one per line.

    Args:
        files: the dataset's files.
        beside: a file; ``classes.txt`` is searched in its folder, then at the root.

    Returns:
        the names, or None if there is no ``classes.txt``.

    Raises:
        UserError: the file is empty or contains a name twice.
    """
    for name in (str(PurePosixPath(beside).with_name(CLASSES)), CLASSES):
        if files.has(name):
            return distinct(files, name)
    return None


def distinct(files: Files, name: str) -> list[str]:
    """Read a file with one distinct name per line.

    Raises:
        UserError: the file is empty or contains a name twice.
    """
    found: dict[str, int] = {}
    for number, line in lines(files, name):
        if line in found:
            raise UserError(f"{files.root / name}:{number}: {line!r} is already on line {found[line]}")
        found[line] = number
    if not found:
        raise UserError(f"{files.root / name}: expected one name a line, found no lines")
    return list(found)


def multi_hot(files: Files, name: str, columns: int | None, why: str) -> tuple[list[str], npt.NDArray[np.uint8]]:
    """Read a file of ``path y1 ... yC`` lines, each y 0 or 1.

    The hashing literature (HashNet, DCH, ...) publishes its splits in this format. Columns are separated by blanks,
    so a path can't contain blanks.

    Args:
        files: the dataset's files.
        name: the file to read.
        columns: C; None to use the number of columns of the first line.
        why: the origin of ``columns``, for the error message.

    Returns:
        n paths, and labels (n, C) uint8.

    Raises:
        UserError: a wrong number of columns, a y that is neither 0 nor 1, a path that leads out of the folder or occurs
            twice, or no lines. The message names the file and the line.
    """
    seen: dict[str, int] = {}
    rows: list[bytes] = []
    for number, line in lines(files, name):
        where = f"{files.root / name}:{number}"
        path, *values = line.split()
        if columns is None:
            columns, why = len(values), f"as line {number} has"
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
        add(seen, inside(path, where), number, where)
        rows.append("".join(values).encode())
    if columns is None:
        raise UserError(f"{files.root / name}: expected lines of a path and labels, found no lines")
    labels = np.frombuffer(b"".join(rows), dtype=np.uint8).reshape(-1, columns) - ord("0")
    return list(seen), labels.astype(np.uint8)


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
