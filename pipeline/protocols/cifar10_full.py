"""``cifar10_full``: 100 query images of each class; all other images are the database and are trained on."""

from collections.abc import Sequence
from dataclasses import replace

from pipeline.preparation.splits import Split
from pipeline.protocols import Protocol
from pipeline.protocols._sampling import Labels, per_class
from pipeline.runtime.ranges import Part

NUMBERS: dict[Part, int] = {"query": 100, "validation": 100, "train": 0}


class Cifar10Full(Protocol):
    """Full supervision: 1,000 query images, and the other 59,000 of CIFAR-10 as the database and for training.

    The query and validation images of a seed are those of the protocol ``wr``, whose 5,000 training images are the
    only difference. Public code of DSDH has this setting as "cifar10-59000".

    Deviation: that code has no validation images. Here 100 images of each class are drawn for validation. They stay in
    the database but not in train, so 58,000 images are trained on. Images without a label, which CIFAR-10 doesn't
    have, would be only in the database.
    """

    def split(self, labels: Labels, ids: Sequence[str], seed: int) -> Split:
        drawn = per_class(labels, NUMBERS, seed, "split.protocol 'cifar10_full'")
        rest = drawn.training_indices("database")
        return replace(drawn, train=rest[labels[rest].any(axis=1)])
