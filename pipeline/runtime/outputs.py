"""Outputs that appear whole or not at all."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pipeline.runtime.errors import UserError


@contextmanager
def atomic_folder(target: Path, aside: Path, *, resume: bool = False) -> Iterator[Path]:
    """Write a folder aside and move it to ``target`` once everything in it is there.

    Args:
        target: the folder that the stage declares as its output; replaced if it exists.
        aside: where it is written, on the same file system (``Layout.aside``). What a killed run of the same stage
            left there is removed first, unless ``resume``.
        resume: keep what an interrupted or failed run left, for a block that can go on from there.

    Yields:
        the folder to write into. If the block raises, ``target`` stays as it was, and the folder is removed
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
        with suppress(OSError):  # the last one out removes the parent
            aside.parent.rmdir()


def _put(aside: Path, target: Path) -> None:
    """Move a folder to its place; what is there stays until then."""
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
    """Make a folder whose parent another process may be removing, as the last one out."""
    for _ in range(100):
        with suppress(FileNotFoundError):
            folder.mkdir(parents=True, exist_ok=exist_ok)
            return
    folder.mkdir(parents=True, exist_ok=exist_ok)


def write_json(path: Path, content: Any) -> None:
    """Write ``content`` in a form that is the same for the same content (key order kept, floats by ``repr``)."""
    path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """What ``write_json`` wrote.

    Raises:
        UserError: it is missing, or cut short.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: missing; run `dvc repro`, or `dvc pull` where it was pushed") from None
    except ValueError as error:
        how = f"restore it with `dvc checkout --force {path.parent}`, or make it anew with `dvc repro`"
        raise UserError(f"{path}: cut short, or not JSON ({error}); {how}") from None
