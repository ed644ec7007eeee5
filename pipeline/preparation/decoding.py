"""Decoding all pictures of a dataset into one array on disk, by several processes, resumably."""

import hashlib
import json
import multiprocessing
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from pipeline.preparation.pictures import square
from pipeline.runtime.errors import UserError

if TYPE_CHECKING:
    from pipeline.datasets import Dataset

#: Images that are decoded, hashed and noted as done together.
CHUNK = 256
# Below this a second process would not have started before the first is done.
_SERIAL = 4 * CHUNK
_SHOWN = 10
# What a journal and a chunk's hash are of; raised when either or the pixels of a picture change.
_VERSION = 1

Bad = dict[int, str]
#: A chunk's first row, the SHA-256 of its pixels, and why which pictures couldn't be read.
Done = tuple[int, str, Bad]


def decode(dataset: "Dataset", folder: Path, size: int, processes: int | None, *, fail: bool) -> Bad:
    """Fill ``folder/images.npy``, (n, size, size, 3) uint8, and return why which pictures couldn't be read.

    Each finished chunk is noted in ``journal.jsonl`` with its hash; a later call redoes those that are missing,
    damaged or held a bad picture, and removes the journal at the end.

    Raises:
        UserError: a picture couldn't be read, if ``fail``; or none could.
    """
    file, journal = folder / "images.npy", folder / "journal.jsonl"
    key = _key(dataset, size)
    count = len(dataset.ids)
    done = dict(_resumed(journal, key, file)) if journal.exists() and file.exists() else {}
    if not done:
        np.lib.format.open_memmap(file, mode="w+", dtype=np.uint8, shape=(count, size, size, 3)).flush()
        journal.write_text(json.dumps(key) + "\n", encoding="utf-8")
    todo = [start for start in range(0, count, CHUNK) if start not in done]
    bad: Bad = {}
    with (
        journal.open("a", encoding="utf-8") as notes,
        tqdm(
            total=count, initial=count - _images(todo, count), unit=" images", desc="prepare", disable=None
        ) as progress,
    ):
        for start, digest, failures in _chunks(dataset, file, size, todo, processes):
            notes.write(json.dumps([start, digest, sorted(failures)]) + "\n")
            notes.flush()
            bad |= failures
            progress.update(_images([start], count))
            if fail and len(bad) > 100 * _SHOWN:
                break
    if fail and bad:
        raise UserError(_complaint(dataset, bad))
    if len(bad) == count:
        raise UserError(f"none of the {count:,} pictures could be read; the first: {dataset.ids[0]}: {bad[0]}")
    journal.unlink()
    return bad


def compacted(file: Path, kept: npt.NDArray[np.int64]) -> bytes:
    """Leave only these rows in an array on disk, in place; returns the SHA-256s of its chunks, one after another."""
    images = np.lib.format.open_memmap(file, mode="r+")
    count, *shape = images.shape
    digests = b""
    for start in range(0, len(kept), CHUNK):
        rows = images[kept[start : start + CHUNK]]
        if len(kept) < count:
            images[start : start + len(rows)] = rows
        digests += hashlib.sha256(rows.tobytes()).digest()
    if len(kept) < count:
        images.flush()
        offset = images.offset
        del images
        _shorten(file, offset, (len(kept), *shape))
    return digests


def _shorten(file: Path, offset: int, shape: tuple[int, ...]) -> None:
    with file.open("r+b") as stream:
        # NumPy leaves room for the number of rows to grow, so a header with fewer has the same length.
        np.lib.format.write_array_header_1_0(  # type: ignore[no-untyped-call]
            stream, {"descr": "|u1", "fortran_order": False, "shape": shape}
        )
        assert stream.tell() == offset
        stream.truncate(offset + int(np.prod(shape)))


def _key(dataset: "Dataset", size: int) -> dict[str, Any]:
    """What a journal must agree in to be continued."""
    ids = hashlib.sha256("\n".join(dataset.ids).encode()).hexdigest()
    return {"version": _VERSION, "dataset": type(dataset).__name__, "ids": ids, "image_size": size}


def _resumed(journal: Path, key: dict[str, Any], file: Path) -> Iterator[tuple[int, str]]:
    """Chunks that an earlier call finished and that are still what they were."""
    lines = journal.read_text(encoding="utf-8").splitlines()
    try:
        noted = [json.loads(line) for line in lines if line.endswith(("}", "]"))]
        if not noted or noted[0] != key:
            return
        images = np.load(file, mmap_mode="r")
    except (ValueError, OSError):
        return
    for start, digest, failures in noted[1:]:
        if not failures and hashlib.sha256(images[start : start + CHUNK].tobytes()).hexdigest() == digest:
            yield start, digest


def _images(starts: Iterable[int], count: int) -> int:
    return sum(min(CHUNK, count - start) for start in starts)


def _complaint(dataset: "Dataset", bad: Bad) -> str:
    shown = "; ".join(f"{dataset.ids[row]}: {reason}" for row, reason in sorted(bad.items())[:_SHOWN])
    more = f"; and {len(bad) - _SHOWN:,} more" if len(bad) > _SHOWN else ""
    return (
        f"{len(bad):,} pictures can't be read: {shown}{more}. Replace or remove them and run again (what is done "
        "is kept), or set dataset.on_bad_image: skip"
    )


def _chunks(dataset: "Dataset", file: Path, size: int, starts: list[int], processes: int | None) -> Iterator[Done]:
    """Decode chunks, in whatever order they are finished."""
    processes = processes or _cores()
    if processes == 1 or _images(starts, len(dataset.ids)) <= _SERIAL:
        yield from (_chunk(dataset, file, size, start) for start in starts)
        return
    with _pool(processes, dataset, file, size) as pool:
        for finished in as_completed([pool.submit(_chunk_here, start) for start in starts]):
            yield finished.result()


def _cores() -> int:
    """Cores that this process may use; not all systems know more than how many there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _pool(processes: int, *shared: Any) -> Iterator[ProcessPoolExecutor]:
    # Fresh processes rather than forks: the progress bar has a thread.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(processes, context, _share, shared)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


_shared: tuple["Dataset", Path, int]


def _share(dataset: "Dataset", file: Path, size: int) -> None:
    """Once a process: what all its chunks have in common."""
    global _shared
    _shared = dataset, file, size


def _chunk_here(start: int) -> Done:
    dataset, file, size = _shared
    return _chunk(dataset, file, size, start)


def _chunk(dataset: "Dataset", file: Path, size: int, start: int) -> Done:
    """Decode one chunk into its place in the file."""
    rows = range(start, min(start + CHUNK, len(dataset.ids)))
    pixels = np.zeros((len(rows), size, size, 3), np.uint8)
    bad: Bad = {}
    for place, row in enumerate(rows):
        try:
            with dataset.picture(row) as picture:
                pixels[place] = square(picture, size)
        # What Pillow raises for files that are cut off, are no pictures, or lie about themselves.
        except (OSError, ValueError, SyntaxError, EOFError, IndexError, KeyError, TypeError, MemoryError) as error:
            bad[row] = " ".join(str(error).split())[:200] or type(error).__name__
    images = np.lib.format.open_memmap(file, mode="r+")
    images[start : start + len(rows)] = pixels
    images.flush()
    return start, hashlib.sha256(pixels.tobytes()).hexdigest(), bad
