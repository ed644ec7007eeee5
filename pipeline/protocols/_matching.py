"""Finding the dataset's images that a list names."""

from collections.abc import Iterator, Sequence

from pipeline.runtime.errors import UserError


def cleaned(path: str) -> str:
    """A path of a list with forward slashes, without ``./`` and doubled slashes."""
    path = path.replace("\\", "/")
    # pathlib does the same, at twice the time of reading the list.
    return "/" * path.startswith("/") + "/".join(part for part in path.split("/") if part not in ("", "."))


class Finder:
    """Finds images by the paths of a list, which may begin at another folder than the dataset's ids.

    A path names an image if it is the image's id. Else it names an image if one of both ends with the other, in whole
    parts: ``/home/x/data/images/1.jpg`` and ``data/images/1.jpg`` name ``images/1.jpg``, and so does ``1.jpg``.

    Args:
        ids: the dataset's ids.
    """

    def __init__(self, ids: Sequence[str]) -> None:
        self._ids = ids
        self._row = {name: row for row, name in enumerate(ids)}
        self._rows_by_file: dict[str, list[int]] = {}
        for row, name in enumerate(ids):
            self._rows_by_file.setdefault(name.rpartition("/")[2], []).append(row)
        self._depth = max((name.count("/") for name in ids), default=0)

    @property
    def example(self) -> str:
        """What the dataset's ids look like, for error messages."""
        return f"the dataset's paths are like {self._ids[0]}" if len(self._ids) else "the dataset has no paths"

    def row(self, path: str, where: str) -> int | None:
        """The row of the image that a cleaned path names; None if the dataset doesn't have it.

        Args:
            path: the path, as ``cleaned`` returns it.
            where: file and line, for the error message.

        Raises:
            UserError: the path may name several images.
        """
        if path in self._row:
            return self._row[path]
        rows = [self._row[end] for end in _ends(path) if end in self._row] + self._ending_with(path)
        if len(rows) > 1:
            raise UserError(
                f"{where}: {path} may be {self._ids[rows[0]]} or {self._ids[rows[1]]} of the dataset; "
                "write the path as it is below dataset.path"
            )
        return rows[0] if rows else None

    def _ending_with(self, path: str) -> list[int]:
        if path.count("/") >= self._depth:  # saves a search among images with the same file name
            return []
        named = self._rows_by_file.get(path.rpartition("/")[2], [])
        return [row for row in named if self._ids[row].endswith(f"/{path}")]


def _ends(path: str) -> Iterator[str]:
    """The path without its first part, without its first two parts, and so on."""
    while "/" in path:
        path = path.partition("/")[2]
        yield path
