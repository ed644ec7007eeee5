"""A faiss index over the different codes of all items, and which items have each code.

Trained codes are often equal: 59,000 images of CIFAR-10 have 2,000 to 16,000 different codes of 48 bits. A graph of
neighbours over all items loses neighbours among equal ones, and comparing equal codes takes time for nothing.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.operations.search import kinds
from pipeline.operations.search.items import Packed
from pipeline.runtime.errors import UserError

Distances = npt.NDArray[np.int32]
Ids = npt.NDArray[np.int64]


class Distinct:
    """Searches items by their codes.

    Different codes are in the order of their first items. So a kind that prefers lower positions among equally near
    codes, as ``flat`` does, finds exactly the items with the lowest ids.

    Args:
        index: the faiss index of the m different codes.
        starts: (m + 1,) where the items of each code begin in ``items``.
        items: (n,) ids, in the order of codes, then ascending.
    """

    def __init__(self, index: Any, starts: npt.NDArray[np.uint32], items: npt.NDArray[np.uint32]) -> None:
        self.index, self._starts, self._items = index, starts, items

    @classmethod
    def of(cls, kind: str, codes: Iterable[Packed], **parameters: Any) -> "Distinct":
        """Build it from blocks of all codes (b, bytes); the id of a code is its position.

        Memory: the codes, and about 60 bytes for each while they are sorted.

        Args:
            kind: see ``kinds.KINDS``.
            codes: the blocks.
            parameters: the kind's own.
        """
        all_codes = np.concatenate(list(codes))
        starts, items = _grouped(all_codes)
        return cls(kinds.made(kind, all_codes[items[starts[:-1]]], **parameters), starts, items)

    def search(self, queries: Packed, count: int) -> tuple[Distances, Ids]:
        """The nearest items of each query, in the order of distance and id.

        Args:
            queries: (q, bytes) packed codes.
            count: number of items for each.

        Returns:
            distances and ids (q, count); where fewer are found, the rest of both is -1.
        """
        near, codes = self.index.search(np.ascontiguousarray(queries), min(count, self.index.ntotal))
        distances, ids = np.full((len(queries), count), -1, np.int32), np.full((len(queries), count), -1, np.int64)
        for row, (far, found) in enumerate(zip(near, codes, strict=True)):
            far, found = far[found >= 0], found[found >= 0]
            own = [self._items[self._starts[code] : self._starts[code + 1]][:count] for code in found]
            items = np.concatenate([np.empty(0, np.int64), *own])
            each = np.repeat(far, [len(one) for one in own])
            order = np.lexsort((items, each))[:count]
            distances[row, : len(order)], ids[row, : len(order)] = each[order], items[order]
        return distances, ids

    def write(self, file: Path) -> None:
        """Write ``file`` (.faiss) and, beside it, the items of each code (.npy)."""
        kinds.write(self.index, file)
        with _beside(file).open("wb") as stream:
            np.save(stream, np.concatenate([self._starts, self._items]))

    @classmethod
    def read(cls, file: Path) -> "Distinct":
        """Read what ``write`` wrote.

        Raises:
            UserError: a file can't be read.
        """
        index = kinds.read(file)
        try:
            content = np.load(_beside(file), allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise UserError(f"{_beside(file)}: can't be read ({error}); build the index again") from None
        return cls(index, content[: index.ntotal + 1], content[index.ntotal + 1 :])

    @property
    def size(self) -> int:
        """Bytes of both files, without headers."""
        return kinds.size(self.index) + self._starts.nbytes + self._items.nbytes


def files(file: Path) -> list[Path]:
    """The files that ``write`` writes."""
    return [file, _beside(file)]


def _beside(file: Path) -> Path:
    return Path(f"{os.fspath(file)}.npy")


def _grouped(codes: Packed) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
    """``starts`` and ``items`` of ``Distinct`` for codes (n, bytes)."""
    width = -(-codes.shape[1] // 8)
    padded = np.zeros((len(codes), 8 * width), np.uint8)
    padded[:, : codes.shape[1]] = codes
    words = padded.view(np.uint64)
    order = np.lexsort(words.T)  # stable: equal codes stay in the order of their ids
    new = np.ones(len(codes), bool)
    new[1:] = (words[order[1:]] != words[order[:-1]]).any(axis=1)
    begins = np.flatnonzero(new)
    sizes = np.diff(begins, append=len(codes))
    by_first = np.argsort(order[begins], kind="stable")
    sizes, begins = sizes[by_first], begins[by_first]
    starts = np.concatenate([[0], np.cumsum(sizes)])
    places = np.repeat(begins - starts[:-1], sizes) + np.arange(len(codes))
    return starts.astype(np.uint32), order[places].astype(np.uint32)
