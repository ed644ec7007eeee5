"""Text files that list images and their labels, as several datasets use them."""

from pathlib import PurePosixPath

import numpy as np
import numpy.typing as npt

from pipeline.datasets._files import Files, inside
from pipeline.preparation import lists
from pipeline.runtime.errors import UserError

CLASSES = "classes.txt"


def placed(labels: str) -> str:
    """Normalize the value of ``dataset.labels``: the name of a list file, relative to the dataset's root."""
    return inside(labels, "dataset.labels")


def lines(files: Files, name: str) -> list[tuple[int, str]]:
    """The stripped, non-empty lines of a text file, each with its line number (from 1)."""
    return lists.lines(files.text(name))


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
    """Read a file of ``path y1 ... yC`` lines, see ``pipeline.preparation.lists``.

    Args:
        files: the dataset's files.
        name: the file to read.
        columns: C; None to use the number of columns of the first line.
        why: the origin of ``columns``, for the error message.

    Returns:
        n paths, and labels (n, C) uint8.

    Raises:
        UserError: the file is not in this form, or a path leads out of the folder. The message names the file and the
            line.
    """
    found = lists.read(files.text(name), str(files.root / name), columns, why, inside)
    return list(found.lines), found.labels
