"""Decode all images of a dataset into one array on disk, with several processes; resumable."""

import hashlib
import multiprocessing
import os
import pickle
import signal
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pipeline.preparation.arrays import CHUNK
from pipeline.preparation.chunks import Bad, Done, Filling, digests, mapped, write
from pipeline.preparation.square import reason, square
from pipeline.runtime.errors import UserError
from pipeline.runtime.machine import cores

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

    from pipeline.datasets import Dataset


# Up to this number of images, one process finishes before a second could start.
_SERIAL = 4 * CHUNK
_SHOWN = 10
# Format version of the journal and of a chunk's hash; increase it when either or the decoded pixels change.
_VERSION = 2


def decode(dataset: "Dataset", folder: Path, size: int, processes: int | None, *, fail: bool) -> Bad:
    """Decode all images into ``folder/images.npy``, (n, size, size, 3) uint8.

    Each finished chunk is recorded in ``journal.jsonl`` with its hash. A later call redoes the chunks that are missing,
    damaged or contained an unreadable image, and removes the journal at the end. It can't detect that an image file was
    replaced after it was decoded.

    Args:
        dataset: the opened dataset with n images.
        folder: where to write.
        size: side of each decoded image in pixels.
        processes: number of decoding processes; None for one per core.
        fail: raise an error if an image can't be read.

    Returns:
        the reason for each unreadable image, by row.

    Raises:
        UserError: the dataset is empty; an image can't be read and ``fail`` is set; no image can be read; or a process
            was killed.
        OSError: the array can't be written.
    """
    file, count = folder / "images.npy", len(dataset.ids)
    if not count:
        raise UserError("the dataset holds no images")
    filling = Filling(file, (count, size, size, 3), np.uint8, chunk=CHUNK, key=_key(dataset, size))
    bad: Bad = {}
    for _, _, failures in filling.recorded("prepare", _chunks(dataset, filling, processes)):
        bad |= failures
        if fail and len(bad) > 100 * _SHOWN:
            break
    if fail and bad:
        raise UserError(_complaint(dataset, bad))
    if len(bad) == count:
        raise UserError(f"none of the {count:,} images could be read; the first: {dataset.ids[0]}: {bad[0]}")
    filling.finish()
    return bad


def compacted(file: Path, kept: npt.NDArray[np.int64]) -> bytes:
    """Remove all other rows from an array on disk, in place.

    Args:
        file: the .npy file, of images (n, S, S, 3) or vectors (n, D).
        kept: sorted rows to keep.

    Returns:
        concatenated SHA-256s of the resulting array's chunks.
    """
    count, *shape = mapped(file).shape
    if len(kept) < count:
        for start in range(0, len(kept), CHUNK):
            images = mapped(file, "r+")  # again for each chunk, as in ``digests``
            rows = images[kept[start : start + CHUNK]]
            images[start : start + len(rows)] = rows
        _shorten(file, mapped(file), (len(kept), *shape))
    return digests(file, CHUNK)


def _shorten(file: Path, before: "np.memmap[Any, np.dtype[Any]]", shape: tuple[int, ...]) -> None:
    with file.open("r+b") as stream:
        # NumPy pads the header so that the number of rows can grow, so a header with fewer rows has the same length.
        np.lib.format.write_array_header_1_0(  # type: ignore[no-untyped-call]
            stream, {"descr": before.dtype.str, "fortran_order": False, "shape": shape}
        )
        assert stream.tell() == before.offset
        stream.truncate(before.offset + int(np.prod(shape)) * before.dtype.itemsize)


class _Digest:
    """A file-like object that hashes what is written and doesn't store it."""

    def __init__(self) -> None:
        self.total = hashlib.sha256()

    def write(self, content: "Buffer") -> int:
        self.total.update(content)
        return memoryview(content).nbytes


def _key(dataset: "Dataset", size: int) -> dict[str, Any]:
    """The key of a journal; decoding continues only if it is equal."""
    # Hash all of the dataset object: ids and labels, and the path, seed or pixels.
    digest = _Digest()
    pickle.Pickler(digest, 5).dump((dataset, dataset.ids, dataset.labels))
    return {"version": _VERSION, "dataset": digest.total.hexdigest(), "image_size": size}


def _complaint(dataset: "Dataset", bad: Bad) -> str:
    shown = "; ".join(f"{dataset.ids[row]}: {reason}" for row, reason in sorted(bad.items())[:_SHOWN])
    more = f"; and {len(bad) - _SHOWN:,} more" if len(bad) > _SHOWN else ""
    return (
        f"{len(bad):,} of {len(dataset.ids):,} images can't be read: {shown}{more}. Replace or remove them and run "
        "again (what is done is kept), or set dataset.on_bad_image: skip"
    )


def _chunks(dataset: "Dataset", filling: Filling, processes: int | None) -> Iterator[Done]:
    """Decode chunks and yield them in the order in which they finish."""
    processes, file, size, starts = processes or cores(), filling.file, filling.shape[1], filling.todo
    if processes == 1 or filling.count(starts) <= _SERIAL:
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
    # Spawn instead of fork, since the progress bar uses a thread.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(processes, context, _share, shared)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


_shared: tuple["Dataset", Path, int]


def _share(dataset: "Dataset", file: Path, size: int) -> None:
    """Initialize a worker process: store what all chunks share, and make it exit together with its parent."""
    global _shared
    _shared = dataset, file, size
    # Ctrl-C reaches all processes. Workers ignore it; the parent stops them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Exit when the parent process ends, even if it was killed: the next call may already write to the same file."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _chunk_here(start: int) -> Done:
    dataset, file, size = _shared
    return _chunk(dataset, file, size, start)


def _chunk(dataset: "Dataset", file: Path, size: int, start: int) -> Done:
    """Decode one chunk and write it at its position in the file."""
    rows = range(start, min(start + CHUNK, len(dataset.ids)))
    pixels = np.zeros((len(rows), size, size, 3), np.uint8)
    bad: Bad = {}
    with warnings.catch_warnings():
        # Ignore Pillow's warnings about files that it can read; one per file would hide important output.
        warnings.simplefilter("ignore")
        for place, row in enumerate(rows):
            try:
                with dataset.image(row) as image:
                    pixels[place] = square(image, size)
            except Exception as error:  # broken files and archives raise many types
                bad[row] = reason(error)
    return start, write(file, start, len(dataset.ids), pixels), bad
