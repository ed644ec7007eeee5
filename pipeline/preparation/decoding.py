"""Decoding all pictures of a dataset into one array on disk, by several processes, resumably."""

import hashlib
import json
import multiprocessing
import os
import pickle
import signal
import threading
import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import UnidentifiedImageError
from tqdm import tqdm

from pipeline.preparation.arrays import CHUNK
from pipeline.preparation.pictures import square
from pipeline.runtime.errors import UserError
from pipeline.runtime.machine import cores

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

    from pipeline.datasets import Dataset


# Below this a second process would not have started before the first is done.
_SERIAL = 4 * CHUNK
_SHOWN = 10
# What a journal and a chunk's hash are of; raised when either or the pixels of a picture change.
_VERSION = 2

Bad = dict[int, str]
#: A chunk's first row, the SHA-256 of its pixels, and why which pictures couldn't be read.
Done = tuple[int, str, Bad]


def decode(dataset: "Dataset", folder: Path, size: int, processes: int | None, *, fail: bool) -> Bad:
    """Fill ``folder/images.npy``, (n, size, size, 3) uint8, and return why which pictures couldn't be read.

    Each finished chunk is noted in ``journal.jsonl`` with its hash; a later call redoes those that are missing,
    damaged or held a bad picture, and removes the journal at the end. It can't know of a picture that was
    replaced by another after it was decoded.

    Raises:
        UserError: a picture couldn't be read, if ``fail``; or none could; or a process was killed.
        OSError: the array can't be written.
    """
    file, journal = folder / "images.npy", folder / "journal.jsonl"
    key = _key(dataset, size)
    count = len(dataset.ids)
    if not count:
        raise UserError("the dataset holds no pictures")
    done = dict(_resumed(journal, key, file)) if journal.exists() and file.exists() else {}
    if not done:
        np.lib.format.open_memmap(file, mode="w+", dtype=np.uint8, shape=(count, size, size, 3)).flush()
        journal.write_text(json.dumps(key), encoding="utf-8")
    todo = [start for start in range(0, count, CHUNK) if start not in done]
    bad: Bad = {}
    with (
        journal.open("a", encoding="utf-8") as notes,
        tqdm(
            total=count, initial=count - _images(todo, count), unit=" images", desc="prepare", disable=None
        ) as progress,
    ):
        for start, digest, failures in _chunks(dataset, file, size, todo, processes):
            # A line's end comes first: the line before may be one that an interrupted call didn't finish.
            notes.write("\n" + json.dumps([start, digest, sorted(failures)]))
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
    count, *shape = _mapped(file).shape
    digests = b""
    for start in range(0, len(kept), CHUNK):
        # Mapped anew for each chunk: pages that were touched count as memory for as long as the map is there.
        images = _mapped(file)
        rows = images[kept[start : start + CHUNK]]
        if len(kept) < count:
            images[start : start + len(rows)] = rows
        digests += hashlib.sha256(rows.tobytes()).digest()
    if len(kept) < count:
        _shorten(file, _mapped(file).offset, (len(kept), *shape))
    return digests


def _mapped(file: Path) -> np.memmap[Any, np.dtype[np.uint8]]:
    return np.lib.format.open_memmap(file, mode="r+")


def _shorten(file: Path, offset: int, shape: tuple[int, ...]) -> None:
    with file.open("r+b") as stream:
        # NumPy leaves room for the number of rows to grow, so a header with fewer has the same length.
        np.lib.format.write_array_header_1_0(  # type: ignore[no-untyped-call]
            stream, {"descr": "|u1", "fortran_order": False, "shape": shape}
        )
        assert stream.tell() == offset
        stream.truncate(offset + int(np.prod(shape)))


class _Digest:
    """A file whose content is hashed rather than kept."""

    def __init__(self) -> None:
        self.total = hashlib.sha256()

    def write(self, content: "Buffer") -> int:
        self.total.update(content)
        return memoryview(content).nbytes


def _key(dataset: "Dataset", size: int) -> dict[str, Any]:
    """What a journal must agree in to be continued."""
    # All that a process is given to decode by: ids and labels, and the path, seed or pixels.
    digest = _Digest()
    pickle.Pickler(digest, 5).dump((dataset, dataset.ids, dataset.labels))
    return {"version": _VERSION, "dataset": digest.total.hexdigest(), "image_size": size}


def _resumed(journal: Path, key: dict[str, Any], file: Path) -> Iterator[tuple[int, str]]:
    """Chunks that an earlier call finished and that are still what they were."""
    first, *noted = map(_parsed, journal.read_text(encoding="utf-8", errors="replace").splitlines() or [""])
    if first != key:
        return
    try:
        _mapped(file)
    except (ValueError, OSError):
        return
    for line in noted:
        if not isinstance(line, list) or len(line) != 3:  # cut off when the call was
            continue
        start, digest, failures = line
        if not failures and hashlib.sha256(_mapped(file)[start : start + CHUNK].tobytes()).hexdigest() == digest:
            yield start, digest


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def _images(starts: Iterable[int], count: int) -> int:
    return sum(min(CHUNK, count - start) for start in starts)


def _complaint(dataset: "Dataset", bad: Bad) -> str:
    shown = "; ".join(f"{dataset.ids[row]}: {reason}" for row, reason in sorted(bad.items())[:_SHOWN])
    more = f"; and {len(bad) - _SHOWN:,} more" if len(bad) > _SHOWN else ""
    return (
        f"{len(bad):,} of {len(dataset.ids):,} pictures can't be read: {shown}{more}. Replace or remove them and run "
        "again (what is done is kept), or set dataset.on_bad_image: skip"
    )


def _chunks(dataset: "Dataset", file: Path, size: int, starts: list[int], processes: int | None) -> Iterator[Done]:
    """Decode chunks, in whatever order they are finished."""
    processes = processes or cores()
    if processes == 1 or _images(starts, len(dataset.ids)) <= _SERIAL:
        yield from (_chunk(dataset, file, size, start) for start in starts)
        return
    with _pool(processes, dataset, file, size) as pool:
        try:
            for finished in as_completed([pool.submit(_chunk_here, start) for start in starts]):
                yield finished.result()
        except BrokenProcessPool:
            raise UserError(
                "a process that decodes was killed (the system does that when memory runs out); run again to go on "
                "from what is done"
            ) from None


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
    """Once a process: what all its chunks have in common, and when to end."""
    global _shared
    _shared = dataset, file, size
    # Ctrl-C reaches all processes; the first one ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Don't go on writing where the first process was killed: the next call may be at work already."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _chunk_here(start: int) -> Done:
    dataset, file, size = _shared
    return _chunk(dataset, file, size, start)


def _chunk(dataset: "Dataset", file: Path, size: int, start: int) -> Done:
    """Decode one chunk into its place in the file."""
    rows = range(start, min(start + CHUNK, len(dataset.ids)))
    pixels = np.zeros((len(rows), size, size, 3), np.uint8)
    bad: Bad = {}
    with warnings.catch_warnings():
        # Pillow's, about files that it reads nevertheless: one a file would drown what matters.
        warnings.simplefilter("ignore")
        for place, row in enumerate(rows):
            try:
                with dataset.picture(row) as picture:
                    pixels[place] = square(picture, size)
            except Exception as error:  # what a broken file or archive raises: there is no end of kinds
                bad[row] = _reason(error)
    # Written rather than mapped: a full disk is an error here, and would be the end of the process there.
    with file.open("r+b") as stream:
        stream.seek((start - len(dataset.ids)) * size * size * 3, os.SEEK_END)
        stream.write(pixels.data)
    return start, hashlib.sha256(pixels.tobytes()).hexdigest(), bad


def _reason(error: Exception) -> str:
    """One line; the same for the same file in every process."""
    if isinstance(error, UnidentifiedImageError):
        return "not a picture of a known kind"  # Pillow's message holds the address of an object
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = " ".join(str(error).split())[:200]
    return (
        text
        if text and isinstance(error, OSError | ValueError | SyntaxError)
        else f"{type(error).__name__} {text}".strip()
    )
