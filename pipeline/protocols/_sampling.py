"""What the protocols share: a seeded order of all images, and drawing from it a class at a time or in total.

Only images with at least one label are drawn: an unlabelled query has nothing to find, and an unlabelled
image nothing to learn from. They stay in the database, where they are never relevant.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from pipeline.preparation.splits import Split
from pipeline.runtime.errors import UserError
from pipeline.runtime.ranges import Part

Labels = npt.NDArray[np.uint8]


def permutation(n: int, seed: int) -> npt.NDArray[np.int64]:
    """A seeded random order of n items.

    Sorted by raw Philox output rather than drawn by ``Generator.permutation``: NumPy keeps a bit generator's
    stream fixed across versions, a Generator's methods may change.
    """
    keys = np.random.Philox(key=seed).random_raw(n)
    return np.argsort(keys, kind="stable").astype(np.int64)


def per_class(labels: Labels, numbers: Mapping[Part, int], seed: int, key: str) -> Split:
    """So many images of each class for query, validation and train; the database is all but the query.

    For each part in that order, classes are visited in order and each draws from its images that no class has
    taken yet. So an image with several labels may serve any of its classes but is drawn once, and every class
    gets its full number.

    Args:
        labels: multi-hot, (n, C) of 0/1.
        numbers: images a class.
        seed: of the order that images are drawn in.
        key: what an error names first, with ``{part}`` for the part.

    Raises:
        UserError: a class has fewer images left than it must give.
    """
    order = permutation(len(labels), seed)
    free = np.ones(len(labels), dtype=bool)
    drawn = {}
    parts: tuple[Part, ...] = ("query", "validation", "train")
    for part in parts:
        wanted = numbers[part]
        chosen = []
        for label in range(labels.shape[1]):
            candidates = order[(labels[order, label] > 0) & free[order]]
            if len(candidates) < wanted:
                raise UserError(
                    f"{key.format(part=part)}: class number {label} has {len(candidates)} images left for {part}, "
                    f"{wanted} are wanted of each class"
                )
            chosen.append(candidates[:wanted])
            free[candidates[:wanted]] = False
        drawn[part] = np.concatenate(chosen)
    return _split(len(labels), drawn)


def in_total(labels: Labels, numbers: Mapping[Part, int], seed: int, key: str) -> Split:
    """So many labelled images for query, train and validation, whatever their classes; the rest is database.

    Validation is drawn last, so its number changes neither query nor train. Arguments and errors are those of
    ``per_class``.
    """
    order = permutation(len(labels), seed)
    left = order[labels[order].any(axis=1)]
    drawn = {}
    parts: tuple[Part, ...] = ("query", "train", "validation")
    for part in parts:
        wanted = numbers[part]
        if len(left) < wanted:
            raise UserError(
                f"{key.format(part=part)}: {len(left)} labelled images are left for {part}, {wanted} are wanted"
            )
        drawn[part], left = left[:wanted], left[wanted:]
    return _split(len(labels), drawn)


def _split(n: int, drawn: dict[Part, npt.NDArray[np.int64]]) -> Split:
    """The drawn parts, sorted; validation and train stay in the database."""
    database = np.setdiff1d(np.arange(n), drawn["query"])
    return Split(database=database, **{part: np.sort(indices) for part, indices in drawn.items()})
