"""The per-epoch record of a cell: a CSV file that grows as epochs end."""

import csv
from pathlib import Path
from typing import TextIO

Row = dict[str, float]


class History:
    """Rows of one epoch each, ``epoch`` counting from 1, written as they come so that a reader can follow the file.

    The first row fixes the columns. A number is written by ``repr``, so reading gives the same float back;
    a value an epoch doesn't have (no validation was due) is an empty field. Without a path the rows stay in memory.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.rows: list[Row] = []
        self._file: TextIO | None = None

    def add(self, row: Row) -> None:
        self.rows.append(row)
        if self.path is None:
            return
        if self._file is None:
            self._file = self.path.open("w", newline="", encoding="utf-8")
            csv.writer(self._file, lineterminator="\n").writerow(row)
        values = ["" if value != value else repr(value) for value in row.values()]
        csv.writer(self._file, lineterminator="\n").writerow(values)
        self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def read(path: Path) -> list[Row]:
    """The rows of a history file; empty fields are left out."""
    with path.open(newline="", encoding="utf-8") as file:
        return [{name: float(text) for name, text in row.items() if text} for row in csv.DictReader(file)]
