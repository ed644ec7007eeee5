"""Add images or vectors that are not of the study to an index."""

import os
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from tqdm import tqdm

from pipeline.operations.model.encoder import Encoder
from pipeline.operations.search.build import thumbnail
from pipeline.operations.search.index import ITEMS, MODEL, Index, locked, publish
from pipeline.operations.search.items import Items, Row, content
from pipeline.preparation.square import FORMATS
from pipeline.runtime.errors import UserError

#: Images decoded and encoded at a time.
BLOCK = 256
SUFFIXES = sorted(suffix for suffix, kind in Image.registered_extensions().items() if kind in FORMATS)


def add(folder: Path, source: Path) -> str:
    """Add all images below a folder, or the vectors of a file, to an index.

    What the index has already by its content (the prepared pixels or the vector) is left out. A killed call is
    continued by the same call. The index stays as it was until all are added; then it is replaced in one step.

    Args:
        folder: the index.
        source: a folder of images, an image, or a .npy, .npz or .parquet file of vectors if the model takes vectors.

    Returns:
        how many were added, were there already, and could not be read.

    Raises:
        UserError: the folder is no index, there is nothing to add, or vectors have another length.
    """
    with locked(folder):
        index = Index(folder)
        encoder = Encoder.load(folder / MODEL)
        blocks = _images(source, encoder) if encoder.image_size else _vectors(source)
        added, there, bad = 0, 0, list[str]()
        with closing(Items(folder / ITEMS, writable=True)) as items:
            unfinished = items.count() - index.count
            for names, values, unread in blocks:
                bad += unread
                contents = [content(value) for value in values]
                known = items.known(contents)
                new = [place for place, key in enumerate(contents) if key not in known and key not in contents[:place]]
                there += len(contents) - len(new)
                if new:
                    codes = encoder.codes_of(np.stack([values[place] for place in new]))
                    items.add(
                        Row(names[place], [], contents[place], code, thumbnail(values[place]))
                        for place, code in zip(new, codes, strict=True)
                    )
                added += len(new)
        if not added and not there:
            raise UserError(f"{source}: nothing to add" + (f"; {bad[0]}" if bad else ""))
        if added or unfinished:
            publish(folder, index.manifest["kind"], index.manifest)
    lines = [f"{folder}: {added:,} added, {there:,} were there already, {len(bad):,} can't be read"]
    if unfinished:
        lines.append(f"{unfinished:,} more had been added by an earlier call that was interrupted")
    return "\n".join(lines + [f"  {line}" for line in bad[:10]])


Block = tuple[list[str], list[npt.NDArray[np.generic]], list[str]]


def _images(source: Path, encoder: Encoder) -> Iterator[Block]:
    """Decoded images with their names, and why others can't be read."""
    if not source.exists():
        raise UserError(f"{source}: no such folder or image")
    root = source if source.is_dir() else source.parent
    files = sorted(file for file in source.rglob("*") if file.is_file()) if source.is_dir() else [source]
    found = [file for file in files if file.suffix.lower() in SUFFIXES or not source.is_dir()]
    if not found:
        raise UserError(f"{source}: no images; expected files with one of the endings {', '.join(SUFFIXES)}")
    remaining = iter(tqdm(found, desc="add", unit="image", disable=None))
    while files := list(islice(remaining, BLOCK)):
        names, pixels, bad = list[str](), list[npt.NDArray[np.generic]](), list[str]()
        for file in files:
            try:
                pixels.append(encoder.pixels(file))
                # SQLite takes only UTF-8, and a file name may be any bytes.
                names.append(os.fsencode(file.relative_to(root).as_posix()).decode("utf-8", "replace"))
            except UserError as error:
                bad.append(str(error))
        yield names, pixels, bad


def _vectors(source: Path) -> Iterator[Block]:
    """The vectors of a file, named by the file and their row."""
    from pipeline.datasets._vectors import SUFFIXES as VECTORS
    from pipeline.datasets._vectors import VectorFile

    if source.suffix not in VECTORS or not source.is_file():
        raise UserError(
            f"{source}: expected a file of vectors, one of {', '.join(VECTORS)}, since the model takes vectors"
        )
    start = 0
    try:
        file = VectorFile(source)
    except UserError as error:  # its messages are of a study's dataset
        raise UserError(str(error).removeprefix("dataset.path: ")) from None
    for block in file.blocks():
        for first in range(0, len(block), BLOCK):
            vectors = np.asarray(block[first : first + BLOCK], np.float32)
            yield [f"{source.name}:{start + row}" for row in range(len(vectors))], list(vectors), []
            start += len(vectors)
