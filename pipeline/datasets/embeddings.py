"""``embeddings``: your own feature vectors, such as CLIP's or DINOv2's, with labels. No images are needed."""

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.datasets._vectors import SUFFIXES, VectorDataset, VectorFile, Vectors
from pipeline.runtime.errors import UserError, first_line
from pipeline.runtime.paths import given

#: Names of the column of labels and of ids, in the order of preference.
LABELS, IDS = ("label", "labels"), ("id", "ids")
WANTED = f"a file of vectors ({', '.join(SUFFIXES)}) or a folder of them"


class Embeddings(VectorDataset):
    """Vectors of .npy, .npz or .parquet files, each with one, several or no labels. Nothing is unpickled.

    Args:
        path: a file, or a folder whose files are taken in the order of their names. Vectors are float16 or float32 and
            all have the same length. ``VectorFile`` says what the files hold.
        labels: the labels of all vectors, in their order.

            * ``*.npy``: class numbers or names (n,), or (n, C) of 0 and 1.
            * ``*.csv``: a header with a column ``label``, and optionally ``id``.
            * any other file: one line per vector.
            * null: the column ``label`` of the .npz or .parquet files themselves, and optionally ``id``.

            Several labels of a vector are separated by ``|`` or ``;`` in text, or are a list in a Parquet file.

    Raises:
        UserError: a file is missing or not in one of these forms, or the numbers of vectors, labels and ids differ.
    """

    def __init__(self, *, path: str | None, labels: str | None = None) -> None:
        self._files = [VectorFile(file) for file in _found(path)]
        first = self._files[0]
        for other in self._files:
            if other.width != first.width:
                raise UserError(
                    f"dataset.path: {other.file}: vectors of {other.width} numbers, but {first.file} has {first.width}"
                )
        self.num_features, count = first.width, sum(file.rows for file in self._files)
        own, ids = self._columns() if labels is None else _read(given(labels))
        where = str(path) if labels is None else labels
        if len(own) != count:
            raise UserError(f"dataset.labels: {where}: {len(own):,} labels for {count:,} vectors; expected as many")
        self.labels, self.class_names = _multi_hot(own, where)
        self.ids = [str(row) for row in range(count)] if ids is None else [str(name) for name in ids]
        if len(set(self.ids)) != count:
            raise UserError(f"dataset.labels: {where}: {len(set(self.ids)):,} distinct ids for {count:,} vectors")
        if odd := next((name for name in self.ids if "\n" in name or "\r" in name or not name), None):
            raise UserError(f"dataset.labels: {where}: an id must be one line of text, found {odd!r}")

    def blocks(self) -> Iterator[Vectors]:
        for file in self._files:
            yield from file.blocks()

    def _columns(self) -> tuple[Any, Any]:
        """Labels, and ids or None, from the columns of the vectors' own files."""
        found: list[list[Any]] = [[], []]
        for file in self._files:
            for place, names in enumerate((LABELS, IDS)):
                name = next((name for name in names if name in file.columns), None)
                if name is not None:
                    found[place] += list(file.columns[name])
                elif place == 0:
                    has = ", ".join(file.columns) or "no further columns"
                    raise UserError(
                        f"dataset.labels: expected a file of labels, or a column 'label' in {file.file}; found {has}"
                    )
        return found[0], found[1] or None


def _found(path: str | None) -> list[Path]:
    if path is None:
        raise UserError(f"dataset.path: expected {WANTED}, found null")
    place = given(path)
    if not place.exists():
        raise UserError(f"dataset.path: {path} not found; expected {WANTED}")
    files = sorted(file for file in place.iterdir() if file.suffix in SUFFIXES) if place.is_dir() else [place]
    if not files or files[0].suffix not in SUFFIXES:
        raise UserError(f"dataset.path: {path}: expected {WANTED}")
    return files


def _read(file: Path) -> tuple[Any, Any]:
    """Labels, and ids or None, from a file of labels."""
    if not file.is_file():
        raise UserError(f"dataset.labels: {file} not found; expected a .npy, .csv or text file of labels")
    try:
        if file.suffix == ".npy":
            found = np.load(file, allow_pickle=False)
            if found.ndim not in (1, 2):
                raise ValueError(f"expected one label a vector or (n, C), found the shape {found.shape}")
            return (found if found.ndim == 2 else found.tolist()), None
        text = file.read_text(encoding="utf-8-sig")
    except (ValueError, OSError, EOFError) as error:
        raise UserError(f"dataset.labels: {file}: can't be read ({first_line(error)})") from None
    if file.suffix != ".csv":
        return text.removesuffix("\n").split("\n"), None
    try:
        rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise UserError(f"dataset.labels: {file}: not a CSV file ({error})") from None
    columns = list(rows[0]) if rows else []
    name, number = (next((name for name in names if name in columns), None) for names in (LABELS, IDS))
    if name is None:
        raise UserError(f"dataset.labels: {file}: expected a header with a column 'label', found {', '.join(columns)}")
    return [row[name] or "" for row in rows], None if number is None else [row[number] for row in rows]


def _multi_hot(own: Any, where: str) -> tuple[npt.NDArray[np.uint8], list[str]]:
    """Multi-hot labels (n, C) and the names of the classes, numbers in their order."""
    if isinstance(own, np.ndarray):
        if own.dtype.kind not in "biu" or not np.isin(own, (0, 1)).all():
            raise UserError(f"dataset.labels: {where}: expected (n, C) of 0 and 1, found {own.shape} of {own.dtype}")
        classes, labels = [str(number) for number in range(own.shape[1])], own.astype(np.uint8)
    else:
        sets = [_names(one) for one in own]
        classes = sorted({name for names in sets for name in names}, key=_numbers_first)
        column = {name: number for number, name in enumerate(classes)}
        labels = np.zeros((len(sets), len(classes)), np.uint8)
        for row, names in enumerate(sets):
            labels[row, [column[name] for name in names]] = 1
    if len(classes) < 2:
        raise UserError(f"dataset.labels: {where}: expected at least two classes, found {', '.join(classes) or 'none'}")
    return labels, classes


def _numbers_first(name: str) -> tuple[bool, int, str]:
    return not name.isdecimal(), int(name) if name.isdecimal() else 0, name


def _names(label: Any) -> list[str]:
    """The names of a vector's classes, from a text, a number, a list or nothing."""
    if label is None:
        return []
    if isinstance(label, list | tuple | np.ndarray):
        return [str(one) for one in label]
    return [part.strip() for part in re.split(r"[|;]", str(label)) if part.strip()]
