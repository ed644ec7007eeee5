"""The raw files of a dataset: a folder, or a zip archive that is read where it lies."""

import os
import zipfile
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from pipeline.runtime.errors import UserError

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp")


class Files:
    """Files below a root, by relative names with forward slashes. Nothing is ever written or unpacked.

    Args:
        path: a folder or a .zip, from params.yaml's ``dataset.path``.
        wanted: what should be there, for the error message.

    Raises:
        UserError: no path, or nothing there.
    """

    def __init__(self, path: str | None, wanted: str) -> None:
        if path is None:
            raise UserError(f"dataset.path: expected {wanted}, found null")
        self.root = Path(path).expanduser()
        if not self.root.exists():
            raise UserError(f"dataset.path: {path} is not there; expected {wanted}")
        self._is_zip = self.root.is_file()
        if self._is_zip and not zipfile.is_zipfile(self.root):
            raise UserError(f"dataset.path: {path} is neither a folder nor a zip archive; expected {wanted}")

    def __getstate__(self) -> dict[str, Any]:
        """Each process opens the archive for itself."""
        return {"root": self.root, "_is_zip": self._is_zip}

    @cached_property
    def names(self) -> list[str]:
        """All files, sorted; hidden ones and those that an archiver left (``__MACOSX``) apart.

        Raises:
            UserError: an archive holds a name that leads out of it.
        """
        if self._is_zip:
            found = [inside(name, str(self.root)) for name in self._zip.namelist() if not name.endswith("/")]
        else:
            found = [
                (Path(folder) / file).relative_to(self.root).as_posix()
                for folder, _, files in os.walk(self.root)
                for file in files
            ]
        parts = ((name, PurePosixPath(name).parts) for name in found)
        return sorted(name for name, p in parts if not any(part.startswith((".", "__MACOSX")) for part in p))

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self._zip.namelist())

    @cached_property
    def _zip(self) -> zipfile.ZipFile:
        try:
            return zipfile.ZipFile(self.root)
        except (OSError, zipfile.BadZipFile) as error:
            raise UserError(f"dataset.path: {self.root} can't be read: {error}") from None

    def has(self, name: str) -> bool:
        return name in self._known if self._is_zip else (self.root / name).is_file()

    def open(self, name: str) -> BinaryIO:
        """Open one file for reading.

        Raises:
            OSError: it isn't there or can't be read.
        """
        if not self._is_zip:
            return (self.root / name).open("rb")
        try:
            return self._zip.open(name)  # type: ignore[return-value]
        except (KeyError, zipfile.BadZipFile, RuntimeError) as error:  # RuntimeError: it is encrypted
            raise OSError(str(error)) from None

    def text(self, name: str) -> str:
        """A text file's content.

        Raises:
            UserError: it isn't there, or isn't UTF-8.
        """
        try:
            with self.open(name) as file:
                return file.read().decode("utf-8-sig")
        except OSError:
            raise UserError(f"dataset.path: {self.root / name} is not there") from None
        except UnicodeDecodeError as error:
            raise UserError(f"{self.root / name}: not UTF-8 text ({error})") from None

    def require(self, names: Iterable[str], what: str, advice: str) -> None:
        """Raise ``UserError`` where files are missing: how many of how many, and the first ten."""
        names = list(names)
        missing = [name for name in names if not self.has(name)]
        if missing:
            shown = ", ".join(missing[:10]) + (", ..." if len(missing) > 10 else "")
            raise UserError(f"{self.root}: {len(missing):,} of {len(names):,} {what} are missing: {shown}; {advice}")


def inside(name: str, where: str) -> str:
    """A relative name with forward slashes, as list files of either kind of system write it.

    Raises:
        UserError: it is absolute or climbs out (``..``).
    """
    clean = name.strip().replace("\\", "/")
    path = PurePosixPath(clean)
    if not clean or path.is_absolute() or ".." in path.parts or (len(clean) > 1 and clean[1] == ":"):
        raise UserError(f"{where}: {name!r} leads out of the dataset's folder; expected a relative path below it")
    return str(path)
