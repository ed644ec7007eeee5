"""The items of an index in one SQLite file: name, labels, code, thumbnail and content of each."""

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.runtime.errors import UserError

Packed = npt.NDArray[np.uint8]
#: Items written or read at a time.
BLOCK = 4096
_TABLE = """
CREATE TABLE items (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    labels TEXT NOT NULL,
    content BLOB NOT NULL,
    code BLOB NOT NULL,
    thumbnail BLOB
);
CREATE INDEX items_content ON items (content);
"""


@dataclass(frozen=True)
class Item:
    """One image or vector of an index.

    Attributes:
        id: number from 0, in the order in which items were added; the row of the item's code.
        name: the image's path in its dataset or folder.
        labels: names of its classes; empty if they are unknown.
    """

    id: int
    name: str
    labels: list[str]


@dataclass(frozen=True)
class Row:
    """An item to add.

    Attributes:
        name, labels: as in ``Item``.
        content: what ``content`` returns.
        code: (ceil(K / 8),) uint8.
        thumbnail: a PNG or JPEG file; None for vectors.
    """

    name: str
    labels: list[str]
    content: bytes
    code: Packed
    thumbnail: bytes | None


def content(values: npt.NDArray[Any]) -> bytes:
    """What identifies an image or vector: a hash (16 bytes) of its prepared pixels or values."""
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).digest()[:16]


class Items:
    """The items in a file.

    A process that is killed while it adds loses only the last block: SQLite writes each block as a whole.

    Args:
        file: the file; it is made if it doesn't exist and ``writable`` is true.
        writable: whether items may be added.

    Raises:
        UserError: the file can't be opened, or is no such file.
    """

    def __init__(self, file: Path, *, writable: bool = False) -> None:
        new = writable and not file.exists()
        # The server reads from several threads, which SQLite's serialized mode allows (check_same_thread).
        mode = "rwc" if writable else "ro"
        try:
            self._connection = sqlite3.connect(
                f"{file.resolve().as_uri()}?mode={mode}", uri=True, check_same_thread=False, timeout=60
            )
            if new:
                self._connection.executescript(_TABLE)
            self.count()
        except sqlite3.Error as error:
            raise UserError(
                f"{file}: can't be read as the items of an index ({error}); build the index again"
            ) from None

    def close(self) -> None:
        self._connection.close()

    def count(self) -> int:
        found: int = self._connection.execute("SELECT COALESCE(MAX(id) + 1, 0) FROM items").fetchone()[0]
        return found

    def add(self, rows: Iterable[Row]) -> None:
        """Add items as one block; all of them are in the file, or none."""
        with self._connection:
            start = self.count()
            self._connection.executemany(
                "INSERT INTO items VALUES (?, ?, ?, ?, ?, ?)",
                (
                    (start + place, row.name, json.dumps(row.labels), row.content, row.code.tobytes(), row.thumbnail)
                    for place, row in enumerate(rows)
                ),
            )

    def known(self, contents: Sequence[bytes]) -> dict[bytes, int]:
        """The ids of the contents that are among the items; of several items, the first."""
        marks = ", ".join("?" * len(contents))
        query = f"SELECT content, MIN(id) FROM items WHERE content IN ({marks}) GROUP BY content"
        return dict(self._connection.execute(query, list(contents)))

    def get(self, ids: Sequence[int]) -> list[Item]:
        """The items with these ids, in this order.

        Raises:
            UserError: no item has one of the ids.
        """
        marks = ", ".join("?" * len(ids))
        rows = self._connection.execute(f"SELECT id, name, labels FROM items WHERE id IN ({marks})", list(ids))
        found = {id_: Item(id_, name, json.loads(labels)) for id_, name, labels in rows}
        if absent := [id_ for id_ in ids if id_ not in found]:
            raise UserError(f"no item {absent[0]}; expected 0 to {self.count() - 1}")
        return [found[id_] for id_ in ids]

    def thumbnail(self, id_: int) -> bytes | None:
        """The image file of an item's thumbnail; None if it has none or there is no such item."""
        row = self._connection.execute("SELECT thumbnail FROM items WHERE id = ?", (id_,)).fetchone()
        return row[0] if row else None

    def code(self, id_: int) -> Packed:
        """The code (1, ceil(K / 8)) of an item.

        Raises:
            UserError: there is no such item.
        """
        row = self._connection.execute("SELECT code FROM items WHERE id = ?", (id_,)).fetchone()
        if row is None:
            raise UserError(f"no item {id_}; expected 0 to {self.count() - 1}")
        return np.frombuffer(row[0], np.uint8)[None]

    def codes_of(self, ids: Sequence[int]) -> Packed:
        """The codes (n, ceil(K / 8)) of the items with these ids, in this order.

        Raises:
            UserError: no item has one of the ids.
        """
        marks = ", ".join("?" * len(ids))
        found = dict(self._connection.execute(f"SELECT id, code FROM items WHERE id IN ({marks})", list(ids)))
        if absent := [id_ for id_ in ids if id_ not in found]:
            raise UserError(f"no item {absent[0]}; expected 0 to {self.count() - 1}")
        return np.frombuffer(b"".join(found[id_] for id_ in ids), np.uint8).reshape(len(ids), -1)

    def codes(self, first: int = 0, last: int | None = None) -> Iterator[Packed]:
        """Yield the codes (b, ceil(K / 8)) of the items from ``first`` to before ``last`` in order, in blocks."""
        end = self.count() if last is None else last
        for start in range(first, end, BLOCK):
            rows = self._connection.execute(
                "SELECT code FROM items WHERE id >= ? AND id < ? ORDER BY id", (start, min(start + BLOCK, end))
            ).fetchall()
            yield np.frombuffer(b"".join(code for (code,) in rows), np.uint8).reshape(len(rows), -1)

    def all(self, last: int) -> Iterator[list[tuple[Item, Packed]]]:
        """Yield all items before ``last`` with their codes in order, in blocks."""
        for start in range(0, last, BLOCK):
            rows = self._connection.execute(
                "SELECT id, name, labels, code FROM items WHERE id >= ? AND id < ? ORDER BY id",
                (start, min(start + BLOCK, last)),
            )
            yield [
                (Item(id_, name, json.loads(labels)), np.frombuffer(code, np.uint8)) for id_, name, labels, code in rows
            ]
