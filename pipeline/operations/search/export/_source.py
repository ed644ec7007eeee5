"""What is exported: the items of an index, read block by block."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from pipeline.operations.search.index import checked, items_of
from pipeline.operations.search.items import BLOCK, Packed

#: What ``export.json`` tells of the index.
KEPT = ("study", "cell", "code_length", "bit", "count", "dataset", "content_hash", "classes")


@dataclass(frozen=True)
class Block:
    """Some items in order of their ids.

    Attributes:
        ids: b integers.
        names: b strings.
        labels: for each item the names of its classes.
        codes: (b, ceil(K / 8)) uint8, packed as ``pipeline.codes.pack`` does.
    """

    ids: list[int]
    names: list[str]
    labels: list[list[str]]
    codes: Packed


class Source:
    """The items of an index, as it is now. The search structure isn't read, so memory stays that of a block.

    Args:
        folder: the index.

    Attributes:
        count: number of items.
        code_length: K, bits of a code.
        width: bytes of a packed code, ceil(K / 8).
        about: what ``export.json`` tells of the index.

    Raises:
        UserError: the folder is no index, or damaged.
    """

    def __init__(self, folder: Path) -> None:
        manifest = checked(folder)
        self.count: int = manifest["count"]
        self.code_length: int = manifest["code_length"]
        self.width = -(-self.code_length // 8)
        self.about: dict[str, Any] = {key: manifest[key] for key in KEPT if key in manifest}
        self._items = items_of(folder, manifest)

    def blocks(self) -> Iterator[Block]:
        """All items, with a progress bar."""
        total = -(-self.count // BLOCK)
        for rows in tqdm(self._items.all(self.count), desc="export", unit="block", total=total, disable=None):
            items = [item for item, _ in rows]
            yield Block(
                [item.id for item in items],
                [item.name for item in items],
                [item.labels for item in items],
                np.stack([code for _, code in rows]),
            )

    def close(self) -> None:
        self._items.close()
