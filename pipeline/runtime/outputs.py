"""Atomic output folders, and JSON and CSV files."""

import csv
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pipeline.runtime.errors import UserError


@contextmanager
def atomic_folder(target: Path, aside: Path, *, resume: bool = False) -> Iterator[Path]:
    """Write a temporary folder and move it to ``target`` when it is complete.

    Args:
        target: the folder that the stage declares as its output; replaced if it exists.
        aside: the temporary folder, on the same file system (``Layout.aside``). Files of a killed run of the same
            stage are removed first, unless ``resume``.
        resume: keep the files of an interrupted or failed run, for a block that can continue from them.

    Yields:
        the folder to write into. If the block raises, ``target`` is unchanged, and the temporary folder is removed
        unless ``resume``.
    """
    if not resume:
        shutil.rmtree(aside, ignore_errors=True)
    _make(aside, exist_ok=resume)
    done = False
    try:
        yield aside
        done = True
        _put(aside, target)
    finally:
        if done or not resume:
            shutil.rmtree(aside, ignore_errors=True)
        with suppress(OSError):  # fails while another process still has a folder in the parent
            aside.parent.rmdir()


def _put(aside: Path, target: Path) -> None:
    """Move a folder to ``target``; an existing ``target`` is deleted only after the move succeeded."""
    before = aside.with_name(f"{aside.name}.before")
    shutil.rmtree(before, ignore_errors=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        os.replace(target, before)
    try:
        os.replace(aside, target)
    except OSError:
        if before.exists():
            os.replace(before, target)
        raise
    shutil.rmtree(before, ignore_errors=True)


def _make(folder: Path, *, exist_ok: bool) -> None:
    """Make a folder. Retry, since another process may remove the empty parent at the same time."""
    for _ in range(100):
        with suppress(FileNotFoundError):
            folder.mkdir(parents=True, exist_ok=exist_ok)
            return
    folder.mkdir(parents=True, exist_ok=exist_ok)


def write_json(path: Path, content: Any) -> None:
    """Write ``content`` as JSON. Equal content gives equal bytes (key order kept, floats by ``repr``)."""
    path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a table as CSV in UTF-8, lines ended by a line feed alone."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def read_json(path: Path) -> Any:
    """Read a file that ``write_json`` wrote.

    Raises:
        UserError: the file is missing, truncated or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: missing; run `dvc repro`, or `dvc pull` where it was pushed") from None
    except ValueError as error:
        how = f"restore it with `dvc checkout --force {path.parent}`, or make it again with `dvc repro`"
        raise UserError(f"{path}: cut short, or not JSON ({error}); {how}") from None
