"""Exports of an index's codes, names and labels for other software. One file each."""

from contextlib import closing
from pathlib import Path

from pipeline.operations.search.export._source import Source
from pipeline.runtime.errors import UserError
from pipeline.runtime.outputs import atomic_folder, write_json
from pipeline.runtime.registry import Registry

#: Marks a folder as an export, which a later export may replace.
ABOUT = "export.json"


class Target:
    """What an index is exported for. A subclass is one way to write the files."""

    def write(self, source: Source, folder: Path) -> None:
        """Write the items into an empty folder, block by block.

        Raises:
            UserError: an item doesn't fit the target, or a package is missing.
        """
        raise NotImplementedError

    def readme(self, source: Source) -> str:
        """What README.txt says of the files and how to load and search them; indented lines are commands or Python."""
        raise NotImplementedError


_REGISTRY = Registry("pipeline.operations.search.export", "target", Target)
names = _REGISTRY.names


def export(index: Path, target: str, folder: Path | None = None) -> str:
    """Write an index's codes, names and labels in the files that other software reads.

    Args:
        index: the folder of the index.
        target: one of ``names()``.
        folder: the folder to write; beside the index if None. It is complete or absent. An export there is replaced.

    Returns:
        what was written, and how to load it.

    Raises:
        UserError: unknown target, no index, a folder with something else, or what ``Target.write`` refuses.
    """
    writer = _REGISTRY.create(target)
    index = index.absolute()
    folder = folder or index.with_name(f"{index.name}-{target}")
    # An export replaces the folder, so a folder that may be anything else is left alone.
    if folder.exists() and not (folder / ABOUT).exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise UserError(f"{folder}: exists and is no export; name another folder")
    place = folder.absolute()
    aside = place.with_name(f".{place.name}.partial")
    with closing(Source(index)) as source, atomic_folder(place, aside) as partial:
        writer.write(source, partial)
        (partial / "README.txt").write_text(_heading(source) + writer.readme(source), encoding="utf-8")
        write_json(partial / ABOUT, {"target": target, **source.about})
    what = f"{source.count:,} items, {source.code_length} bits, for {target}"
    return f"{folder}: {what}\nhow to load it: {folder / 'README.txt'}"


def _heading(source: Source) -> str:
    return (
        f"{source.count:,} items of the cell {source.about['cell']} (study {source.about['study']}), "
        f"{source.code_length} bits each.\n"
        "id: the number of an item, from 0. name: the image's path in its dataset or folder. labels: its classes.\n"
        "Bit 1 is +1, bit 0 is -1. The distance of two items is the number of bits that differ (Hamming distance).\n\n"
    )
