"""One training run to measure the validation mAP of a setting; writes no files and uses no query image of the study."""

from functools import reduce

import numpy as np

from pipeline import protocols
from pipeline.params import Params
from pipeline.preparation.arrays import Prepared
from pipeline.preparation.splits import Split
from pipeline.runtime.errors import UserError
from pipeline.runtime.layout import Group
from pipeline.training.cell import trainer
from pipeline.training.history import History
from pipeline.training.setting import Setting, with_setting


def tuning_split(params: Params, data: Prepared, seed: int) -> Split:
    """The split that the protocol draws for a tuning seed, without the query images of all seeds of the grid.

    Every seed of the grid draws its own query images, so the split of another seed contains many of them. They are
    removed from the database, training and validation images.

    Args:
        params: the content of params.yaml.
        data: the prepared dataset.
        seed: the tuning seed.

    Raises:
        UserError: a part has no images left.
    """
    seeds, protocol = params["grid"]["seeds"], protocols.chosen(params["split"])
    # A fixed split has the same query images for every seed.
    others = [] if protocol.fixed_by else seeds
    drawn, *further = (protocol.split(data.labels, data.ids, one) for one in (seed, *others))
    queries = reduce(np.union1d, (other.query for other in further), drawn.query)
    kept = {part: np.setdiff1d(getattr(drawn, part), queries) for part in ("database", "train", "validation")}
    if empty := [part for part, indices in kept.items() if not len(indices)]:
        raise UserError(
            f"all {empty[0]} images of seed {seed} are query images of one of the grid's {len(seeds)} seeds, "
            "so nothing can be tried on them; draw fewer query images, or take fewer seeds"
        )
    return Split(query=drawn.query, **kept)


def validation_map(params: Params, group: Group, setting: Setting, seed: int, data: Prepared, split: Split) -> float:
    """The validation mAP of a cell of ``group`` under a setting.

    It is the mAP of the epoch that ``training.selection`` keeps. If the rule is ``test``, the best epoch by validation
    mAP is used instead, so that tuning never uses a query image.

    Args:
        params: the content of params.yaml.
        group: method, quantizer and code length.
        setting: the values to try.
        seed: fixes everything that a cell's seed fixes, except the split.
        data: the prepared dataset.
        split: the split from ``tuning_split``.

    Raises:
        Diverged: the loss is not finite.
        UserError: the batch size is larger than an epoch, or other params are wrong.
    """
    params = with_setting(params, group, setting)
    if params["training"]["selection"] == "test":
        params["training"]["selection"] = "validation"
    ready = trainer(params, group, seed, data, split)
    if "batch_size" in setting and ready.batch_size != setting["batch_size"]:
        raise too_large(int(setting["batch_size"]), ready.epoch_size)
    return ready.fit(History()).validation_map


def too_large(batch_size: int, images: int) -> UserError:
    """The error for a batch size above an epoch's images: training would use one batch of all images instead."""
    return UserError(f"batch size {batch_size} is larger than an epoch of {images} images; expected at most that")
