"""``counts``: so many images of each class for query, validation and train; all but the query is the database."""

from typing import Literal

import numpy as np
import numpy.typing as npt

from pipeline.preparation.splits import Split
from pipeline.protocols import Protocol
from pipeline.runtime.errors import UserError
from pipeline.runtime.ranges import PositiveInt

PARTS: tuple[Literal["query", "validation", "train"], ...] = ("query", "validation", "train")


class Counts(Protocol):
    """Per-class sampling as in section 5.1 of the WR paper, with the numbers left to the user.

    Classes are visited in order, and each draws from its images that no class has taken yet, so an image
    with several labels is drawn once and every class gets its full number. The query images leave the
    database; validation and train images stay in it, as in the paper.

    Args:
        per_class: images a class for ``query``, ``validation`` and ``train``.
    """

    def __init__(self, *, per_class: dict[Literal["query", "validation", "train"], PositiveInt]) -> None:
        if missing := [part for part in PARTS if part not in per_class]:
            raise UserError(f"protocol 'counts' needs per_class: {', '.join(missing)}")
        self.per_class = per_class

    def split(self, labels: npt.NDArray[np.uint8], seed: int) -> Split:
        order = _permutation(len(labels), seed)
        free = np.ones(len(labels), dtype=bool)
        drawn = {}
        for part in PARTS:
            wanted = self.per_class[part]
            chosen = []
            for label in range(labels.shape[1]):
                candidates = order[(labels[order, label] > 0) & free[order]]
                if len(candidates) < wanted:
                    raise UserError(
                        f"split.per_class.{part}: expected at most the {len(candidates)} images that class "
                        f"number {label} has left, found {wanted}"
                    )
                chosen.append(candidates[:wanted])
                free[candidates[:wanted]] = False
            drawn[part] = np.sort(np.concatenate(chosen))
        database = np.setdiff1d(np.arange(len(labels)), drawn["query"])
        return Split(database=database, **drawn)


def _permutation(n: int, seed: int) -> npt.NDArray[np.int64]:
    """A seeded random order of n items.

    Sorted by raw Philox output rather than drawn by ``Generator.permutation``: NumPy keeps a bit generator's
    stream fixed across versions, a Generator's methods may change.
    """
    keys = np.random.Philox(key=seed).random_raw(n)
    return np.argsort(keys, kind="stable").astype(np.int64)
