"""Paths that a user gives in params.yaml, and what lies there."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

#: Folders and files that archivers, file managers and storage boxes leave beside what users put there.
LEFTOVERS = ("__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "Thumbs.db", "desktop.ini")


def project() -> Path:
    """The project's folder, also for a stage of `dvc exp run --temp` or `--queue`, which runs in a copy of it.

    DVC sets ``DVC_ROOT`` for every stage, and to the project rather than the copy for an experiment
    (DVC's manual, "dvc exp run", environment variables).
    """
    return Path(os.environ.get("DVC_ROOT") or ".").resolve()


def given(path: str) -> Path:
    """Where a path of params.yaml leads: from this folder or, where nothing is there, from the project's.

    A copy of the project has no files that git ignores.
    """
    place = Path(path).expanduser()
    return place if place.is_absolute() or place.exists() else project() / place


def leftover(part: str) -> bool:
    """Whether a part of a path is hidden, or left by an archiver or a file manager."""
    return part.startswith(".") or part in LEFTOVERS


def walked(root: Path) -> Iterator[str]:
    """All files below a folder, by relative names with forward slashes; links are followed, each folder met once."""
    met = {os.path.realpath(root)}
    for folder, below, files in os.walk(root, followlinks=True):
        places = {name: os.path.realpath(os.path.join(folder, name)) for name in below}
        below[:] = [name for name, place in places.items() if place not in met]
        met.update(places.values())
        relative = os.path.relpath(folder, root).replace(os.sep, "/")
        for file in files:
            yield file if relative == "." else f"{relative}/{file}"


def fingerprint(root: Path) -> dict[str, Any]:
    """What tells raw files from others without reading them: a hash of names, sizes and times of change.

    Where they lie doesn't count; what file managers leave beside them doesn't either.
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
