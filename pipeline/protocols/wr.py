"""``wr``: the WR paper's split: 100 query, 100 validation and 500 train images of each class."""

from collections.abc import Sequence

from pipeline.preparation.splits import Split
from pipeline.protocols import Protocol
from pipeline.protocols._sampling import Labels, per_class
from pipeline.runtime.ranges import Part

NUMBERS: dict[Part, int] = {"query": 100, "validation": 100, "train": 500}


class WR(Protocol):
    """Section 5.1 of the WR paper (Zhang et al., IJCAI 2022), for CIFAR-10 and NUS-WIDE (21 concepts).

    100 images of each class are the queries, and all other images are the database. 100 images per class for
    validation and 500 for training are drawn from the database and stay in it.

    The paper doesn't say how an image with several concepts counts. Here it is drawn once, for one of its concepts,
    so the 21 concepts of NUS-WIDE give 2,100 query, 2,100 validation and 10,500 train images.

    The numbers are fixed, so the protocol has no arguments. For other numbers, use ``counts`` with ``per_class``.
    """

    def split(self, labels: Labels, ids: Sequence[str], seed: int) -> Split:
        return per_class(labels, NUMBERS, seed, "split.protocol 'wr'")
