"""A gallery of queries and the database images with the nearest codes."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipeline.preparation.arrays import Prepared
from pipeline.runtime import stored
from pipeline.runtime.outputs import write_csv

#: Maximum width and height of an image in pixels.
TILE = 96


def nearest(query: npt.NDArray[np.uint8], database: npt.NDArray[np.uint8], count: int) -> tuple[Any, Any]:
    """Find the codes nearest to one code.

    Args:
        query: (bytes,) packed code.
        database: (n, bytes) packed codes.
        count: how many codes to find.

    Returns:
        Indices of the nearest codes in the database, and their Hamming distances. Codes at the same distance are in
        database order.
    """
    distances = np.bitwise_count(query ^ database).sum(axis=1, dtype=np.int64)
    order = np.argsort(distances, kind="stable")[:count]
    return order, distances[order]


def write(codes: Path, data: Prepared, *, queries: int, neighbours: int, seed: int, target: Path) -> None:
    """Write ``gallery.csv`` and ``gallery.png`` for randomly drawn queries.

    Args:
        codes: the cell's folder from ``encode``.
        data: the prepared dataset.
        queries: the number of queries; all cells of a seed have the same queries.
        neighbours: the number of database images per query.
        seed: seed of the draw.
        target: the folder for ``gallery.csv`` (row, query, rank from 1, image, distance, relevant, and the classes of
            both, separated by ``|``) and ``gallery.png`` (square tiles without gaps, one row per query, the query
            first).
    """
    both = {
        part: (
            stored.array(codes / f"{part}_codes.npy", "uint8", 2),
            stored.array(codes / f"{part}_indices.npy", "int64", 1),
        )
        for part in ("query", "database")
    }
    (query_codes, query_indices), (database_codes, database_indices) = both["query"], both["database"]
    drawn = np.random.default_rng(seed).choice(len(query_indices), min(queries, len(query_indices)), replace=False)
    lines, strips = [], []
    for row, place in enumerate(np.sort(drawn)):
        query = int(query_indices[place])
        found, distances = nearest(query_codes[place], database_codes, neighbours)
        images = database_indices[found]
        alike = (data.labels[images] & data.labels[query]).any(axis=1)
        lines += [
            (
                *(row, query, classes(data, query), rank + 1, int(images[rank]), classes(data, int(images[rank]))),
                *(int(distances[rank]), "yes" if alike[rank] else "no"),
            )
            for rank in range(len(images))
        ]
        strips.append(np.concatenate([_tile(data.images[index]) for index in (query, *images)], axis=1))
    header = ("row", "query", "query_classes", "rank", "image", "classes", "distance", "relevant")
    write_csv(target / "gallery.csv", header, lines)
    Image.fromarray(np.concatenate(strips)).save(target / "gallery.png")


def classes(data: Prepared, image: int) -> str:
    """The names of an image's classes, separated by ``|``."""
    names = list(data.manifest["classes"])
    return "|".join(names[column] for column in np.flatnonzero(data.labels[image]))


def _tile(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    if len(image) <= TILE:
        return np.asarray(image)
    return np.asarray(Image.fromarray(image).resize((TILE, TILE), Image.Resampling.LANCZOS))
