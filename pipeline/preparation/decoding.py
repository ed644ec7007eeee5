"""Decode all images of a dataset into one array on disk, with several processes; resumable."""

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
from pipeline.preparation.square import square
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

Bad = dict[int, str]
#: A chunk's first row, the SHA-256 of its pixels, and its unreadable images: the reason by row.
Done = tuple[int, str, Bad]


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
    file, journal = folder / "images.npy", folder / "journal.jsonl"
    key = _key(dataset, size)
    count = len(dataset.ids)
    if not count:
        raise UserError("the dataset holds no images")
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
            # Start with a line break: an interrupted call may have left the previous line incomplete.
            notes.write("\n" + json.dumps([start, digest, sorted(failures)]))
            notes.flush()
            bad |= failures
            progress.update(_images([start], count))
            if fail and len(bad) > 100 * _SHOWN:
                break
    if fail and bad:
        raise UserError(_complaint(dataset, bad))
    if len(bad) == count:
        raise UserError(f"none of the {count:,} images could be read; the first: {dataset.ids[0]}: {bad[0]}")
    journal.unlink()
    return bad


def compacted(file: Path, kept: npt.NDArray[np.int64]) -> bytes:
    """Remove all other rows from an array on disk, in place.

    Args:
        file: the .npy file, (n, S, S, 3) uint8.
        kept: sorted rows to keep.

    Returns:
        concatenated SHA-256s of the resulting array's chunks.
    """
    count, *shape = _mapped(file).shape
    digests = b""
    for start in range(0, len(kept), CHUNK):
        # Map the file again for each chunk: touched pages count as used memory as long as the mapping exists.
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
        # NumPy pads the header so that the number of rows can grow, so a header with fewer rows has the same length.
        np.lib.format.write_array_header_1_0(  # type: ignore[no-untyped-call]
            stream, {"descr": "|u1", "fortran_order": False, "shape": shape}
        )
        assert stream.tell() == offset
        stream.truncate(offset + int(np.prod(shape)))


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


def _resumed(journal: Path, key: dict[str, Any], file: Path) -> Iterator[tuple[int, str]]:
    """First row and hash of each chunk that an earlier call finished and that is unchanged and fully readable."""
    first, *noted = map(_parsed, journal.read_text(encoding="utf-8", errors="replace").splitlines() or [""])
    if first != key:
        return
    try:
        _mapped(file)
    except (ValueError, OSError):
        return
    for line in noted:
        if not isinstance(line, list) or len(line) != 3:  # truncated when the call was interrupted
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
        f"{len(bad):,} of {len(dataset.ids):,} images can't be read: {shown}{more}. Replace or remove them and run "
        "again (what is done is kept), or set dataset.on_bad_image: skip"
    )


def _chunks(dataset: "Dataset", file: Path, size: int, starts: list[int], processes: int | None) -> Iterator[Done]:
    """Decode chunks and yield them in the order in which they finish."""
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
                bad[row] = _reason(error)
    # Write instead of using the memory map: with a map, a full disk would kill the process instead of raising.
    with file.open("r+b") as stream:
        stream.seek((start - len(dataset.ids)) * size * size * 3, os.SEEK_END)
        stream.write(pixels.data)
    return start, hashlib.sha256(pixels.tobytes()).hexdigest(), bad


def _reason(error: Exception) -> str:
    """The reason for an unreadable image in one line; deterministic for a given file."""
    if isinstance(error, UnidentifiedImageError):
        return "not an image of a known kind"  # Pillow's message contains an object's address
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = " ".join(str(error).split())[:200]
    return (
        text
        if text and isinstance(error, OSError | ValueError | SyntaxError)
        else f"{type(error).__name__} {text}".strip()
    )
