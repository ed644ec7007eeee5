"""Paths that a user gives in params.yaml, and the files below them."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

#: Folders and files that archivers, file managers and network storage create on their own.
LEFTOVERS = ("__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "Thumbs.db", "desktop.ini")


def project() -> Path:
    """The project's folder, even if a stage runs in a copy of it (`dvc exp run --temp` or `--queue`).

    DVC sets ``DVC_ROOT`` for every stage. In an experiment it is the project's folder, not the copy
    (DVC's manual, "dvc exp run", environment variables).
    """
    return Path(os.environ.get("DVC_ROOT") or ".").resolve()


def given(path: str) -> Path:
    """Resolve a path of params.yaml: relative to the current folder, else to the project's folder.

    The project's folder is the fallback because a copy of the project lacks the files that git ignores.
    """
    place = Path(path).expanduser()
    return place if place.is_absolute() or place.exists() else project() / place


def leftover(part: str) -> bool:
    """Whether a part of a path is hidden or one of ``LEFTOVERS``."""
    return part.startswith(".") or part in LEFTOVERS


def walked(root: Path) -> Iterator[str]:
    """Relative names of all files below a folder, with forward slashes.

    Symbolic links are followed; each folder is visited once.
    """
    met = {os.path.realpath(root)}
    for folder, below, files in os.walk(root, followlinks=True):
        places = {name: os.path.realpath(os.path.join(folder, name)) for name in below}
        below[:] = [name for name, place in places.items() if place not in met]
        met.update(places.values())
        relative = os.path.relpath(folder, root).replace(os.sep, "/")
        for file in files:
            yield file if relative == "." else f"{relative}/{file}"


def fingerprint(root: Path) -> dict[str, Any]:
    """Fingerprint of a file or folder without reading contents: a hash of names, sizes and modification times.

    It doesn't depend on the location of ``root``. Hidden files and ``LEFTOVERS`` are ignored.

    Returns:
        ``files`` (their number), ``bytes`` (their total size), ``names_sizes_times`` (SHA-256 as hex).
    """
    names = sorted(walked(root)) if root.is_dir() else [""]
    digest, count, total = hashlib.sha256(), 0, 0
    for name in names:
        if any(map(leftover, name.split("/"))):
            continue
        found = os.stat(root / name if name else root)
        digest.update(f"{name}\0{found.st_size}\0{found.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
        count, total = count + 1, total + found.st_size
    return {"files": count, "bytes": total, "names_sizes_times": digest.hexdigest()}
