"""Common code of the protocols: a seeded order of all images, and drawing from it per class or in total.

Only images with at least one label are drawn: an unlabelled query has no relevant images, and training can't use an
unlabelled image. Unlabelled images stay in the database, where they are never relevant.
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

    Items are sorted by raw Philox output. ``Generator.permutation`` isn't used: NumPy keeps the stream of a bit
    generator fixed across versions, but the methods of a Generator may change.
    """
    keys = np.random.Philox(key=seed).random_raw(n)
    return np.argsort(keys, kind="stable").astype(np.int64)


def per_class(labels: Labels, numbers: Mapping[Part, int], seed: int, key: str) -> Split:
    """Draw a fixed number of images per class for query, validation and train; all but the query are the database.

    The parts are drawn in this order. For each part, every class in turn draws from those of its images that have not
    been drawn yet. So an image with several labels is drawn at most once, for one of its classes, and every class
    gets its full number.

    Args:
        labels: multi-hot, (n, C) of 0/1.
        numbers: images per class, by part.
        seed: determines the order in which images are drawn.
        key: start of an error message, with ``{part}`` for the part.

    Raises:
        UserError: a class has too few images left.
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
    """Draw a fixed total of labelled images for query, train and validation; all but the query are the database.

    Classes are ignored. Validation is drawn last, so its number changes neither query nor train.

    Args:
        labels: multi-hot, (n, C) of 0/1.
        numbers: images in total, by part.
        seed: determines the order in which images are drawn.
        key: start of an error message, with ``{part}`` for the part.

    Raises:
        UserError: too few labelled images are left.
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
    """The split of n images with the drawn parts, sorted; validation and train stay in the database."""
    database = np.setdiff1d(np.arange(n), drawn["query"])
    return Split(database=database, **{part: np.sort(indices) for part, indices in drawn.items()})
