"""Text files that name pictures and their labels, as several datasets have them."""

from pathlib import PurePosixPath

import numpy as np
import numpy.typing as npt

from pipeline.datasets._files import Files, inside
from pipeline.runtime.errors import UserError

CLASSES = "classes.txt"


def placed(labels: str) -> str:
    """A list file's name below the dataset's root, as ``dataset.labels`` gives it."""
    return inside(labels, "dataset.labels")


def lines(files: Files, name: str) -> list[tuple[int, str]]:
    """A text file's lines without blank ones and the blanks around them, with their numbers from 1 on."""
    # Not splitlines, which also ends a line at characters that a file's name may hold.
    return [(number, line.strip()) for number, line in enumerate(files.text(name).split("\n"), 1) if line.strip()]


def class_names(files: Files, beside: str) -> list[str] | None:
    """Names from ``classes.txt``, one a line, beside the file ``beside`` or at the root; None where there is none.

    Raises:
        UserError: it names none, or one twice.
    """
    for name in (str(PurePosixPath(beside).with_name(CLASSES)), CLASSES):
        if files.has(name):
            return distinct(files, name)
    return None


def distinct(files: Files, name: str) -> list[str]:
    """The lines of a file that names something on each, none twice.

    Raises:
        UserError: it is empty, or names one twice.
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
    """Paths and labels (n, C) of a file of ``path y1 ... yC`` lines, each y 0 or 1.

    This is how the hashing literature passes its splits around (HashNet, DCH, ...). Columns are separated by
    blanks, so a path can't hold any.

    Args:
        columns: C; None takes the first line's.
        why: what ``columns`` comes from, for the error message.

    Raises:
        UserError: with file and line: another number of columns, a y that is neither 0 nor 1, a path that leads
            out of the folder or is there twice, no lines.
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
                f"{values[0]} is the number of the picture's class, write a CSV with the columns path and label"
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
    """Note the line that a path is on.

    Raises:
        UserError: it has been on another.
    """
    if path in seen:
        raise UserError(f"{where}: {path} is already on line {seen[path]}")
    seen[path] = number
