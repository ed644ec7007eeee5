"""An array on disk that is filled chunk by chunk; an interrupted call is continued."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

Bad = dict[int, str]
#: A chunk's first row, the SHA-256 of its rows, and the rows that have no value: the reason by row.
Done = tuple[int, str, Bad]

JOURNAL = "journal.jsonl"


class Filling:
    """An array of rows in a .npy file, and a journal next to it of the chunks that are filled.

    If the files of an interrupted call with the same key are there, the chunks that it finished are kept, except those
    that are damaged or have rows without a value.

    Args:
        file: the .npy file; the journal is ``JOURNAL`` in the same folder.
        shape: shape of the array; its first dimension are the rows.
        dtype: type of the array.
        chunk: number of rows per chunk.
        key: what the values depend on, as JSON; if it differs from the journal's, all chunks are filled again.
    """

    def __init__(
        self, file: Path, shape: tuple[int, ...], dtype: npt.DTypeLike, *, chunk: int, key: dict[str, Any]
    ) -> None:
        self.file, self.shape, self.chunk = file, shape, chunk
        self._journal = file.with_name(JOURNAL)
        done = set(self._resumed(key)) if self._journal.exists() and file.exists() else set()
        if not done:
            np.lib.format.open_memmap(file, mode="w+", dtype=dtype, shape=shape).flush()
            self._journal.write_text(json.dumps(key), encoding="utf-8")
        #: First rows of the chunks that are still to be filled.
        self.todo = [start for start in range(0, shape[0], chunk) if start not in done]

    def rows(self, start: int) -> range:
        """The rows of the chunk that begins with ``start``."""
        return range(start, min(start + self.chunk, self.shape[0]))

    def count(self, starts: Iterable[int]) -> int:
        """Number of rows of these chunks."""
        return sum(len(self.rows(start)) for start in starts)

    def recorded(self, name: str, finished: Iterable[Done]) -> Iterator[Done]:
        """Record each finished chunk in the journal and yield it; shows progress on a terminal.

        Args:
            name: the name of the stage, for the progress bar.
            finished: chunks whose rows are in the file.
        """
        rows = self.shape[0]
        with (
            self._journal.open("a", encoding="utf-8") as notes,
            tqdm(total=rows, initial=rows - self.count(self.todo), unit=" images", desc=name, disable=None) as progress,
        ):
            for start, digest, failures in finished:
                # Start with a line break: an interrupted call may have left the previous line incomplete.
                notes.write("\n" + json.dumps([start, digest, sorted(failures)]))
                notes.flush()
                progress.update(self.count([start]))
                yield start, digest, failures

    def finish(self) -> None:
        """Remove the journal."""
        self._journal.unlink()

    def _resumed(self, key: dict[str, Any]) -> Iterator[int]:
        """First row of each chunk that an earlier call finished and that is unchanged and has all its rows."""
        first, *noted = map(_parsed, self._journal.read_text(encoding="utf-8", errors="replace").splitlines() or [""])
        if first != key:
            return
        try:
            mapped(self.file)
        except (ValueError, OSError):
            return
        for line in noted:
            if not isinstance(line, list) or len(line) != 3:  # truncated when the call was interrupted
                continue
            start, digest, failures = line
            # Map the file again for each chunk: touched pages count as used memory as long as the mapping exists.
            if not failures and sha256(mapped(self.file)[start : start + self.chunk]) == digest:
                yield start


def write(file: Path, first: int, count: int, rows: npt.NDArray[Any]) -> str:
    """Write rows at their place in a .npy file.

    Args:
        file: the .npy file.
        first: the first of the rows.
        count: number of rows of the whole array.
        rows: the values, in the file's type.

    Returns:
        SHA-256 of the rows.

    Raises:
        OSError: the file can't be written. With a memory map, a full disk would kill the process instead.
    """
    with file.open("r+b") as stream:
        stream.seek((first - count) * (rows.nbytes // len(rows)), os.SEEK_END)
        stream.write(np.ascontiguousarray(rows).data)
    return sha256(rows)


def digests(file: Path, chunk: int) -> bytes:
    """Concatenated SHA-256s (32 bytes each) of consecutive chunks of an array's rows."""
    # Map the file again for each chunk: touched pages count as used memory as long as the mapping exists.
    starts = range(0, len(mapped(file)), chunk)
    return b"".join(hashlib.sha256(mapped(file)[start : start + chunk].tobytes()).digest() for start in starts)


def mapped(file: Path, mode: Literal["r", "r+"] = "r") -> np.memmap[Any, np.dtype[Any]]:
    """Map an array's file; ``r+`` to change it. Files that DVC has linked to its cache can only be read."""
    return np.lib.format.open_memmap(file, mode=mode)


def sha256(rows: npt.NDArray[Any]) -> str:
    return hashlib.sha256(rows.tobytes()).hexdigest()


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None
