"""``images``: your own images, labelled by a list file, a CSV or the folders that they lie in."""

import csv
import io
import re
from collections import Counter
from pathlib import PurePosixPath

import numpy as np
import numpy.typing as npt

from pipeline.datasets import _lists
from pipeline.datasets._files import EXTENSIONS, Files, inside
from pipeline.datasets._folder import ImageFiles
from pipeline.preparation import lists
from pipeline.runtime.errors import UserError

WANTED = "a folder or zip archive of images"
ADVICE = "paths count from dataset.path; docs/datasets.md shows the three forms"
COLUMNS = ["path", "label"]

Labelled = tuple[list[str], npt.NDArray[np.uint8], list[str]]


class Images(ImageFiles):
    """Images in a folder or a zip archive, each with one, several or no labels.

    Args:
        path: the folder or archive.
        labels: the file below ``path`` that labels the images; paths in it are relative to ``path``.

            * ``*.csv``: a header with the columns ``path`` and ``label`` (other columns are ignored). Several labels
              of an image are separated by ``|`` or ``;``. Classes are the labels that occur, sorted.
            * any other file: lines of ``path y1 ... yC``, each y 0 or 1. Class names come from ``classes.txt`` (one
              per line) in the same folder or at the root; without it they are "0" to "C-1".
            * null: class folders, ``<class>/**/*.jpg`` and other image files. Classes are the folders, sorted.

    Raises:
        UserError: a file is missing or not in one of these forms; the message names the file and the line.
    """

    def __init__(self, *, path: str | None, labels: str | None = None) -> None:
        files = Files(path, WANTED)
        if labels is None:
            found = _folders(files)
        elif labels.lower().endswith(".csv"):
            found = _csv(files, _lists.placed(labels))
        else:
            found = _list(files, _lists.placed(labels))
        names, multi_hot, classes = found
        files.require(names, "images", ADVICE)
        if len(classes) == 1:
            raise UserError(f"{files.root / (labels or '')}: one class ({classes[0]}); expected at least two")
        super().__init__(files, names, multi_hot, classes)
        self.left_out = _left_out(files, set(names), classes if labels is None else None)


def _list(files: Files, name: str) -> Labelled:
    classes = _lists.class_names(files, name)
    columns, why = (None, "") if classes is None else (len(classes), f"as many as {_lists.CLASSES} names")
    names, labels = _lists.multi_hot(files, name, columns, why)
    return names, labels, classes or [str(number) for number in range(labels.shape[1])]


def _csv(files: Files, name: str) -> Labelled:
    rows: dict[str, int] = {}
    labels_of: list[list[str]] = []
    # newline="" leaves line endings to the csv module.
    reader = csv.reader(io.StringIO(files.text(name), newline=""), strict=True)
    header: list[str] | None = None
    try:
        for fields in reader:
            where = f"{files.root / name}:{reader.line_num}"
            if not any(field.strip() for field in fields):
                continue
            if header is None:
                header = _header(fields, where)
                continue
            if len(fields) != len(header):
                raise UserError(f"{where}: expected {len(header)} columns as in the header, found {len(fields)}")
            path, label = (fields[header.index(column)] for column in COLUMNS)
            lists.add(rows, inside(path, where), reader.line_num, where)
            labels_of.append([text.strip() for text in re.split(r"[|;]", label) if text.strip()])
    except csv.Error as error:
        raise UserError(f"{files.root / name}:{reader.line_num}: not a CSV file ({error})") from None
    if not rows:
        raise UserError(f"{files.root / name}: expected a header and one line per image, found no lines")
    if not any(labels_of):
        raise UserError(f"{files.root / name}: no image has a label; the column {COLUMNS[1]!r} is empty")
    return list(rows), *_indicators(labels_of)


def _header(fields: list[str], where: str) -> list[str]:
    header = [field.strip() for field in fields]
    if any(header.count(column) != 1 for column in COLUMNS):
        raise UserError(
            f"{where}: expected a header, separated by commas, with the columns {' and '.join(COLUMNS)}; "
            f"found {', '.join(header)}"
        )
    return header


def _folders(files: Files) -> Labelled:
    names = [name for name in files.names if name.lower().endswith(EXTENSIONS)]
    if not names:
        raise UserError(f"dataset.path: no images ({' '.join(EXTENSIONS)}) below {files.root}")
    stray = [name for name in names if "/" not in name]
    if stray:
        raise UserError(
            f"dataset.path: {len(stray):,} of {len(names):,} images lie in no class folder of {files.root}, the "
            f"first is {stray[0]}; expected <class>/<image>, or a file of labels in dataset.labels"
        )
    labels, classes = _indicators([[name.partition("/")[0]] for name in names])
    if len(classes) == 1:
        raise UserError(
            f"dataset.path: one class folder ({classes[0]}) with images in {files.root}; expected at least two, "
            "or a file of labels in dataset.labels"
        )
    return names, labels, classes


def _left_out(files: Files, taken: set[str], by_folder: list[str] | None) -> dict[str, int]:
    """Count the files that may be images but aren't used, by reason.

    Args:
        files: the dataset's files.
        taken: names of the images that are used.
        by_folder: the classes if they are folder names, else None. With class folders, each folder without an image
            is listed too.
    """
    others = [name for name in files.names if name not in taken]
    if by_folder is None:
        unlisted = sum(name.lower().endswith(EXTENSIONS) for name in others)
        return {"images that the file of labels doesn't name": unlisted} if unlisted else {}
    kinds = Counter(PurePosixPath(name).suffix.lower() or "no suffix" for name in others)
    found = {f"{kind}: not a kind of image that is read": count for kind, count in sorted(kinds.items())}
    empty = [name for name in files.folders if name not in by_folder]
    return found | {f"class folder {name}: no image in it that is read": 1 for name in empty}


def _indicators(labels_of: list[list[str]]) -> tuple[npt.NDArray[np.uint8], list[str]]:
    """Multi-hot labels (n, C) and the sorted names of their columns."""
    classes = sorted({label for own in labels_of for label in own})
    number = {label: column for column, label in enumerate(classes)}
    multi_hot = np.zeros((len(labels_of), len(classes)), np.uint8)
    for row, own in enumerate(labels_of):
        multi_hot[row, [number[label] for label in own]] = 1
    return multi_hot, classes
