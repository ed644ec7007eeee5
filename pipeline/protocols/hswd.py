"""``hswd``: the HSWD paper's split: query, train and validation at random, whatever their classes."""

from collections.abc import Sequence

from pipeline.preparation.splits import Split
from pipeline.protocols import Protocol
from pipeline.protocols._sampling import Labels, in_total
from pipeline.runtime.ranges import Part, PositiveInt


class HSWD(Protocol):
    """Section B.1 of the HSWD paper's supplement (Doan et al., CVPR 2022).

    ``query`` images are drawn at random, and the rest is the database. ``train`` images are drawn at random from the
    database and stay in it. The paper's numbers: 1,000 and 5,000 for CIFAR-10; 5,000 and 10,000 for NUS-WIDE and COCO.

    Deviations: the paper has no validation images, and its code selects the best epoch on the queries. Here
    ``validation`` further images, disjoint from ``train``, are drawn from the database. They are drawn last, so query
    and train don't depend on their number. The paper counts images of "at least one" concept; images without a
    concept are only in the database here.

    Args:
        query: number of images that are removed from the database.
        train: number of database images to train on.
        validation: number of database images to select the epoch on.
    """

    def __init__(self, *, query: PositiveInt, train: PositiveInt, validation: PositiveInt) -> None:
        self.numbers: dict[Part, int] = {"query": query, "train": train, "validation": validation}

    def split(self, labels: Labels, ids: Sequence[str], seed: int) -> Split:
        return in_total(labels, self.numbers, seed, "split.{part}")
