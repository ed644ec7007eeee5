"""The raw files of a dataset: a folder, or a zip archive that is read without unpacking."""

import os
import zipfile
from collections.abc import Iterable
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any, BinaryIO

from pipeline.runtime.errors import UserError
from pipeline.runtime.paths import given, leftover, walked

EXTENSIONS = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".avif")


class Files:
    """Read-only access to the files below a root, by relative names with forward slashes.

    Args:
        path: a folder or a .zip, from params.yaml's ``dataset.path``.
        wanted: description of the expected files, for error messages.

    Raises:
        UserError: ``path`` is None, doesn't exist, or is neither a folder nor a zip archive.
    """

    def __init__(self, path: str | None, wanted: str) -> None:
        if path is None:
            raise UserError(f"dataset.path: expected {wanted}, found null")
        self.root = given(path)
        if not self.root.exists():
            raise UserError(f"dataset.path: {path} not found; expected {wanted}")
        self._is_zip = self.root.is_file()
        if self._is_zip and not zipfile.is_zipfile(self.root):
            raise UserError(f"dataset.path: {path} is neither a folder nor a zip archive; expected {wanted}")

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the open archive, so that each process opens its own."""
        return {"root": self.root, "_is_zip": self._is_zip}

    @cached_property
    def names(self) -> list[str]:
        """All files, sorted, without hidden files and files of archivers and file managers (``leftover``).

        Links to folders are followed; each folder is visited once.

        Raises:
            UserError: a name leads out of the archive, occurs twice in it, contains a line break or isn't UTF-8.
        """
        found = sorted(self._members) if self._is_zip else sorted(walked(self.root))
        for name in found:
            self._refuse_unusable(name)
        return [name for name in found if not any(map(leftover, PurePosixPath(name).parts))]

    @cached_property
    def folders(self) -> list[str]:
        """The folders directly below the root, sorted, including empty ones; without ``leftover`` folders."""
        if self._is_zip:
            entries = [info.filename.replace("\\", "/").removeprefix("./") for info in self._zip.infolist()]
            found = {entry.split("/")[0] for entry in entries if "/" in entry}
        else:
            found = {entry.name for entry in os.scandir(self.root) if entry.is_dir()}
        return sorted(name for name in found if name and not leftover(name))

    def _refuse_unusable(self, name: str) -> None:
        """Raise ``UserError`` for a name that can't be one line of a UTF-8 text file."""
        try:
            name.encode()
        except UnicodeEncodeError:
            raise UserError(f"dataset.path: the file name {os.fsencode(name)!r} isn't UTF-8; rename it") from None
        if len(name.splitlines()) != 1:
            raise UserError(f"dataset.path: the file name {name!r} holds a line break; rename it")

    @cached_property
    def _members(self) -> dict[str, str]:
        """The names inside the archive, by the normalized name with forward slashes."""
        members: dict[str, str] = {}
        for info in self._zip.infolist():
            if info.filename.endswith(("/", "\\")):
                continue
            name = inside(info.filename, str(self.root))
            if name in members:
                raise UserError(f"dataset.path: {self.root} holds {name} twice; keep one of them in the archive")
            members[name] = info.filename
        return members

    @cached_property
    def _zip(self) -> zipfile.ZipFile:
        try:
            return zipfile.ZipFile(self.root)
        except (OSError, zipfile.BadZipFile, UnicodeDecodeError) as error:
            raise UserError(f"dataset.path: {self.root} can't be read: {error}") from None

    def has(self, name: str) -> bool:
        return name in self._members if self._is_zip else (self.root / name).is_file()

    def open(self, name: str) -> BinaryIO:
        """Open one file for reading.

        Raises:
            OSError: the file doesn't exist or can't be read.
        """
        if not self._is_zip:
            return (self.root / name).open("rb")
        try:
            return self._zip.open(self._members[name])  # type: ignore[return-value]
        except (KeyError, zipfile.BadZipFile, RuntimeError) as error:  # RuntimeError: encrypted file
            raise OSError(str(error)) from None

    def text(self, name: str) -> str:
        """Read a text file.

        Raises:
            UserError: the file doesn't exist or isn't UTF-8.
        """
        try:
            with self.open(name) as file:
                return file.read().decode("utf-8-sig")
        except OSError:
            raise UserError(f"dataset.path: {self.root / name} not found") from None
        except UnicodeDecodeError as error:
            raise UserError(f"{self.root / name}: not UTF-8 text ({error})") from None

    def require(self, names: Iterable[str], what: str, advice: str) -> None:
        """Check that files exist.

        Args:
            names: the required files.
            what: what the files are, for the error message.
            advice: what to do, for the error message.

        Raises:
            UserError: files are missing; the message has their number and names the first ten.
        """
        names = list(names)
        missing = [name for name in names if not self.has(name)]
        if missing:
            shown = ", ".join(missing[:10]) + (", ..." if len(missing) > 10 else "")
            raise UserError(f"{self.root}: {len(missing):,} of {len(names):,} {what} are missing: {shown}; {advice}")


def inside(name: str, where: str) -> str:
    """Normalize a relative file name from a list file (Windows or Unix) to forward slashes.

    Args:
        name: the name as written in the file.
        where: the name's origin, for the error message.

    Raises:
        UserError: the name is empty or absolute, or contains ``..``.
    """
    clean = name.strip().replace("\\", "/")
    path = PurePosixPath(clean)
    if not clean or path.is_absolute() or ".." in path.parts or (len(clean) > 1 and clean[1] == ":"):
        raise UserError(f"{where}: {name!r} leads out of the dataset's folder; expected a relative path below it")
    return str(path)
