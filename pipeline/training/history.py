"""The per-epoch record of a cell: a CSV file that gets a row after each epoch."""

import csv
from pathlib import Path
from typing import TextIO

Row = dict[str, float]


class History:
    """One row per epoch; ``epoch`` counts from 1.

    Each row is written to the file at once, so that another process can read it during training. The first row
    determines the columns. Numbers are written with ``repr``, so reading returns the same float. A NaN (no validation
    in this epoch) is written as an empty field.

    Args:
        path: the file to write; None keeps the rows in memory only.
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
    """Read the rows of a history file; empty fields are left out."""
    with path.open(newline="", encoding="utf-8") as file:
        return [{name: float(text) for name, text in row.items() if text} for row in csv.DictReader(file)]
