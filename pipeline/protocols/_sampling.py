"""Common code of the protocols: a seeded order of all images, and drawing from it per class or in total.

Only images with at least one label are drawn: an unlabelled query has no relevant images, and training can't use an
unlabelled image. Unlabelled images stay in the database, where they are never relevant.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from pipeline.preparation.splits import Indices, Split
from pipeline.runtime.errors import UserError
from pipeline.runtime.ranges import Part

Labels = npt.NDArray[np.uint8]


def permutation(n: int, seed: int) -> Indices:
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
        drawn[part] = of_each_class(labels, order[free[order]], numbers[part], part, key.format(part=part))
        free[drawn[part]] = False
    return _split(len(labels), drawn)


def of_each_class(labels: Labels, order: Indices, wanted: int, part: Part, key: str) -> Indices:
    """Draw ``wanted`` images of each class in turn; each image is drawn at most once.

    Args:
        labels: multi-hot, (n, C) of 0/1.
        order: the images to draw from, in the order in which they are drawn.
        wanted: images per class.
        part: what they are drawn for, for the error message.
        key: start of the error message.

    Returns:
        wanted * C indices, by class.

    Raises:
        UserError: a class has too few images left.
    """
    free, chosen = np.ones(len(order), dtype=bool), []
    for label in range(labels.shape[1]):
        places = np.flatnonzero((labels[order, label] > 0) & free)
        if len(places) < wanted:
            raise UserError(
                f"{key}: class number {label} has {len(places)} images left for {part}, {wanted} are wanted of each "
                "class"
            )
        free[places[:wanted]] = False
        chosen.append(order[places[:wanted]])
    return np.concatenate(chosen)


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
    left = permutation(len(labels), seed)
    drawn = {}
    parts: tuple[Part, ...] = ("query", "train", "validation")
    for part in parts:
        drawn[part] = labelled(labels, left, numbers[part], part, key.format(part=part))
        left = left[~np.isin(left, drawn[part])]
    return _split(len(labels), drawn)


def labelled(labels: Labels, order: Indices, wanted: int, part: Part, key: str) -> Indices:
    """The first ``wanted`` images of ``order`` that have a label.

    Args:
        labels: multi-hot, (n, C) of 0/1.
        order: the images to draw from, in the order in which they are drawn.
        wanted: number of images.
        part: what they are drawn for, for the error message.
        key: start of the error message.

    Raises:
        UserError: there are too few labelled images.
    """
    found = order[labels[order].any(axis=1)]
    if len(found) < wanted:
        raise UserError(f"{key}: {len(found)} labelled images are left for {part}, {wanted} are wanted")
    return found[:wanted]


def _split(n: int, drawn: dict[Part, Indices]) -> Split:
    """The split of n images with the drawn parts, sorted; validation and train stay in the database."""
    database = np.setdiff1d(np.arange(n), drawn["query"])
    return Split(database=database, **{part: np.sort(indices) for part, indices in drawn.items()})
