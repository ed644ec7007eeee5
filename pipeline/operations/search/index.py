"""An index on disk: opened with all of its files checked, and searched."""

import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.operations.search.distinct import Distances, Distinct, Ids, files
from pipeline.operations.search.items import Item, Items, Packed
from pipeline.runtime.errors import UserError
from pipeline.runtime.outputs import read_json, write_json

MANIFEST, ITEMS, MODEL = "manifest.json", "items.sqlite", "model"
FORMAT = 1
#: Results of one search, at most.
MOST = 1000


@dataclass(frozen=True)
class Found:
    """One result of a search."""

    item: Item
    distance: int


class Index:
    """An index in a folder. It is what ``build`` or ``add`` finished last; later additions don't change it.

    Args:
        folder: ``manifest.json``, ``items.sqlite``, ``index-<items>.faiss``, ``index-<items>.faiss.npy``, ``model/``.

    Attributes:
        manifest: the content of ``manifest.json``.
        count: number of items.
        code_length: K, bits of a code.

    Raises:
        UserError: the folder is no index, or a file is missing, damaged or of another version.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.manifest = folder, checked(folder)
        self.count: int = self.manifest["count"]
        self.code_length: int = self.manifest["code_length"]
        self.items = items_of(folder, self.manifest)
        self._codes = Distinct.read(folder / self.manifest["index"])
        self._lock = threading.Lock()  # faiss's counters and HNSW's visited table aren't for several threads

    def search(self, codes: Packed, count: int, radius: int | None = None) -> list[list[Found]]:
        """The nearest items of each code, nearest first; of equally near items, the one with the lowest id first.

        Args:
            codes: (q, ceil(K / 8)) packed codes.
            count: number of results for each, 1 to 1,000; approximate kinds may find fewer.
            radius: largest Hamming distance of a result; None for any.

        Returns:
            for each code its results.

        Raises:
            UserError: an argument is out of range.
        """
        width = -(-self.code_length // 8)
        if codes.dtype != np.uint8 or codes.ndim != 2 or codes.shape[1] != width:
            raise UserError(f"codes: expected uint8 of shape (n, {width}); found {codes.dtype} of shape {codes.shape}")
        if not 1 <= count <= MOST:
            raise UserError(f"number of results: expected 1 to {MOST:,}; found {count}")
        if radius is not None and not 0 <= radius <= self.code_length:
            raise UserError(f"radius: expected 0 to {self.code_length}; found {radius}")
        distances, ids = self.nearest(codes, min(count, self.count))
        return [self._found(*pair, radius) for pair in zip(distances, ids, strict=True)]

    def nearest(self, codes: Packed, count: int) -> tuple[Distances, Ids]:
        """Distances and ids (q, count), see ``Distinct.search``."""
        with self._lock:
            return self._codes.search(codes, count)

    def _found(self, distances: Distances, ids: Ids, radius: int | None) -> list[Found]:
        kept = ids >= 0
        if radius is not None:
            kept &= distances <= radius
        items = self.items.get(ids[kept].tolist())
        return [Found(item, distance) for item, distance in zip(items, distances[kept].tolist(), strict=True)]


def checked(folder: Path) -> dict[str, Any]:
    """The manifest of an index whose files are all there, unchanged.

    Raises:
        UserError: the folder is no index, or a file is missing, damaged or of another version.
    """
    _refuse_no_index(folder)
    manifest: dict[str, Any] = read_json(folder / MANIFEST)
    if manifest.get("format") != FORMAT:
        raise UserError(f"{folder / MANIFEST}: of another version of this software; build the index again")
    for name, digest in manifest["files"].items():
        if not (folder / name).exists() or file_digest(folder / name) != digest:
            raise UserError(f"{folder / name}: missing or changed since the index was built; build the index again")
    return manifest


def _refuse_no_index(folder: Path) -> None:
    if not (folder / MANIFEST).exists():
        raise UserError(f"{folder}: no index, since it has no {MANIFEST}; expected a folder that `make index` made")


def items_of(folder: Path, manifest: dict[str, Any]) -> Items:
    """Open the items of an index.

    Raises:
        UserError: there are fewer than the manifest says, or the file can't be read.
    """
    items = Items(folder / ITEMS)
    if items.count() < manifest["count"]:
        raise UserError(f"{folder / ITEMS}: items are missing; build the index again")
    return items


def publish(folder: Path, kind: str, about: dict[str, Any]) -> None:
    """Write the faiss index of all items, then the manifest, which makes both valid in one step.

    Until the manifest is replaced, whoever opens the folder gets the index before.

    Args:
        folder: with ``items.sqlite`` and ``model/``.
        kind: see ``kinds.KINDS``.
        about: what else the manifest says; what it says of the files is replaced.
    """
    with closing(Items(folder / ITEMS)) as items:
        count = items.count()
        index = Distinct.of(kind, items.codes(0, count))
    written = folder / f"index-{count}.faiss"
    index.write(written)
    own = [file.name for file in files(written)]
    manifest = {
        **about,
        "format": FORMAT,
        "kind": kind,
        "count": count,
        "index": written.name,
        "files": {
            file: file_digest(folder / file)
            for file in [*own, *sorted(f"{MODEL}/{file.name}" for file in (folder / MODEL).iterdir())]
        },
    }
    write_json(folder / f"{MANIFEST}.partial", manifest)
    os.replace(folder / f"{MANIFEST}.partial", folder / MANIFEST)
    for old in folder.glob("index-*.faiss*"):
        if old.name not in own:
            old.unlink()


def file_digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Let one process at a time add to an index.

    Raises:
        UserError: the folder is no index, or another process adds to it.
    """
    from filelock import FileLock, Timeout

    _refuse_no_index(folder)  # the lock would make the folder
    try:
        with FileLock(folder / ".lock", timeout=0):
            yield
    except Timeout:
        raise UserError(f"{folder}: another process adds to this index; wait until it ends") from None
