"""``cifar10_official``: CIFAR-10's own 10,000 test images are the queries, its 50,000 training images the database."""

from collections.abc import Sequence

import numpy as np

from pipeline.preparation.splits import Split
from pipeline.protocols import Protocol
from pipeline.protocols._sampling import Labels, of_each_class, permutation
from pipeline.runtime.errors import UserError

NAME = "split.protocol 'cifar10_official'"
#: Images of each class for validation.
VALIDATION = 100
#: Determines which they are, for every seed.
VALIDATION_SEED = 0


class Cifar10Official(Protocol):
    """The published division of CIFAR-10: the test images are the queries, the training images the database.

    The authors' code of GreedyHash (Su et al., NeurIPS 2018) has this split. An image belongs to a part if its id
    begins with ``test/`` or ``train/``, as the ids of the dataset ``cifar10`` do.

    Deviation: that code has no validation images. Here 100 images of each class are drawn from the training images for
    validation, the same for every seed. They stay in the database but not in train, so 49,000 images are trained on.
    """

    fixed_by = "CIFAR-10's own test and training images"

    def split(self, labels: Labels, ids: Sequence[str], seed: int) -> Split:
        part = np.array([name.partition("/")[0] for name in ids])
        query, database = np.flatnonzero(part == "test"), np.flatnonzero(part == "train")
        if not len(query) or not len(database) or len(query) + len(database) < len(ids):
            raise UserError(
                f"{NAME}: expected images below test/ and train/, as dataset cifar10 has them; "
                f"found {len(query):,} and {len(database):,} of {len(ids):,}"
            )
        order = permutation(len(ids), VALIDATION_SEED)
        order = order[np.isin(order, database)]
        validation = np.sort(of_each_class(labels, order, VALIDATION, "validation", NAME))
        return Split(query, database, np.setdiff1d(database, validation), validation)
