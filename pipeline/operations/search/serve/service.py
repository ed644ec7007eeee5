"""What the server does, apart from HTTP: pictures or vectors to codes, and codes to results."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.operations.model.encoder import Encoder
from pipeline.operations.search.index import MODEL, Index
from pipeline.operations.search.items import Item, Packed
from pipeline.operations.search.serve.batching import Array, Batches
from pipeline.runtime.errors import UserError
from pipeline.runtime.machine import cores

#: Pictures decoded at the same time, at most: a picture at the limit of pixels takes up to 1.5 GB while it is decoded.
DECODERS = 2
#: Scans of a JPEG that are decoded at most; real ones have fewer than 20.
SCANS = 500


class Service:
    """An opened index with its network.

    Args:
        folder: the index.

    Raises:
        UserError: the folder is no index, or its network can't be loaded.
    """

    def __init__(self, folder: Path) -> None:
        self.index = Index(folder)
        self._encoder = Encoder.load(folder / MODEL)
        self.batches = Batches(self._encoder.codes_of)
        self._decoders = ThreadPoolExecutor(min(DECODERS, cores()), "decoder")

    @property
    def vectors(self) -> bool:
        """Whether queries are vectors instead of pictures."""
        return self._encoder.image_size is None

    def close(self) -> None:
        self._decoders.shutdown(cancel_futures=True)
        self.batches.close()

    async def code_of(self, query: bytes) -> Packed:
        """Compute the packed code (1, ceil(K / 8)) of a query.

        Args:
            query: an image file; or JSON ``{"vector": [...]}`` if the network takes vectors.

        Raises:
            UserError: it can't be read.
        """
        return await self.batches.code(await self._decoded(query))

    async def _decoded(self, query: bytes) -> Array:
        if self.vectors:
            return _vector(query)
        check_scans(query)
        return await asyncio.get_running_loop().run_in_executor(self._decoders, self._encoder.pixels, query)

    def packed(self, bits: str) -> Packed:
        """The packed code (1, ceil(K / 8)) that a text of K digits 0 and 1 gives.

        Raises:
            UserError: the text is anything else.
        """
        length = self.index.code_length
        if len(bits) != length or not set(bits) <= {"0", "1"}:
            raise UserError(f"code: expected {length} digits 0 or 1; found {len(bits)} characters")
        return np.packbits(np.array([[digit == "1" for digit in bits]]), axis=1)

    def has(self, id_: int) -> bool:
        """Whether there is an item of this id; an addition that isn't finished has none."""
        return 0 <= id_ < self.index.count

    def item(self, id_: int) -> dict[str, Any]:
        """An item as JSON shows it, with its code."""
        (item,) = self.index.items.get([id_])
        return shown(item) | {"code": self._bits(self.index.items.code(id_))[0]}

    def search(self, code: Packed, count: int, radius: int | None) -> dict[str, Any]:
        """Search for the nearest items of a code.

        Args:
            code: (1, ceil(K / 8)) packed.
            count: number of results, at most.
            radius: largest Hamming distance of a result; None for any.

        Returns:
            ``code`` of the query, and ``results``.

        Raises:
            UserError: an argument is out of range.
        """
        (found,) = self.index.search(code, count, radius)
        codes = self._bits(self.index.items.codes_of([one.item.id for one in found])) if found else []
        results = [
            shown(one.item) | {"distance": one.distance, "code": bits} for one, bits in zip(found, codes, strict=True)
        ]
        return {"code": self._bits(code)[0], "results": results}

    def _bits(self, codes: Packed) -> list[str]:
        """Packed codes (n, ceil(K / 8)) as texts of K digits."""
        digits = np.unpackbits(codes, axis=1, count=self.index.code_length) + ord("0")
        return [row.tobytes().decode() for row in digits]


def shown(item: Item) -> dict[str, Any]:
    return {"id": item.id, "name": item.name, "labels": item.labels}


def check_scans(picture: bytes) -> None:
    """Refuse a JPEG with so many scans that decoding it would take minutes.

    Raises:
        UserError: there are more than ``SCANS``.
    """
    # A scan begins with the marker FF DA, which can't occur in compressed data.
    if picture.startswith(b"\xff\xd8") and picture.count(b"\xff\xda") > SCANS:
        raise UserError(f"picture: a JPEG with more than {SCANS} scans is not decoded")


def _vector(query: bytes) -> Array:
    """The vector (D,) float32 of a query; the network checks D."""
    expected = 'expected JSON {"vector": [number, ...]}'
    try:
        content = json.loads(query)
    except (ValueError, RecursionError):
        raise UserError(f"{expected}; found what is not JSON") from None
    vector = content.get("vector") if isinstance(content, dict) else None
    if not isinstance(vector, list) or not all(type(value) in (int, float) for value in vector):
        raise UserError(f"{expected}; found something else")
    with np.errstate(over="ignore"):  # becomes infinite, which the network refuses
        try:
            return np.array(vector, np.float64).astype(np.float32)
        except OverflowError:
            raise UserError(f"{expected}; found a number that is too large") from None
