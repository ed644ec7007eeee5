"""One training run to learn what a setting is worth: no files, and never a look at a query image of the study."""

from functools import reduce
from typing import Any

import numpy as np

from pipeline import protocols
from pipeline.preparation.arrays import Prepared
from pipeline.preparation.splits import Split
from pipeline.runtime.errors import UserError
from pipeline.runtime.layout import Group
from pipeline.training.cell import trainer
from pipeline.training.history import History
from pipeline.training.setting import Setting, with_setting


def tuning_split(params: dict[str, Any], data: Prepared, seed: int) -> Split:
    """The split that the protocol draws for a seed, without any image that is a query of one of the grid's seeds.

    Every seed of the grid draws its own query images, so a split of another seed would hold many of them.

    Raises:
        UserError: nothing is left of a part.
    """
    seeds = params["grid"]["seeds"]
    drawn, *others = (protocols.draw(params["split"], data.labels, one) for one in (seed, *seeds))
    queries = reduce(np.union1d, (other.query for other in others))
    kept = {part: np.setdiff1d(getattr(drawn, part), queries) for part in ("database", "train", "validation")}
    if empty := [part for part, indices in kept.items() if not len(indices)]:
        raise UserError(
            f"all {empty[0]} images of seed {seed} are query images of one of the grid's {len(seeds)} seeds, "
            "so nothing can be tried on them; draw fewer query images, or take fewer seeds"
        )
    return Split(query=drawn.query, **kept)


def validation_map(
    params: dict[str, Any], group: Group, setting: Setting, seed: int, data: Prepared, split: Split
) -> float:
    """The validation mAP that a cell of ``group`` reaches under a setting.

    It is that of the epoch which ``training.selection`` keeps; where that is ``test``, that of the best epoch by
    validation, so that no choice made here has seen a query image.

    Args:
        seed: fixes all that a cell's seed fixes, but the split.
        split: from ``tuning_split``.

    Raises:
        Diverged: the loss isn't finite.
        UserError: the batch size is larger than an epoch, or whatever else is wrong with the params.
    """
    params = with_setting(params, group, setting)
    if params["training"]["selection"] == "test":
        params["training"]["selection"] = "validation"
    ready = trainer(params, group, seed, data, split)
    if "batch_size" in setting and ready.batch_size != setting["batch_size"]:
        raise too_large(int(setting["batch_size"]), ready.epoch_size)
    return ready.fit(History()).validation_map


def too_large(batch_size: int, images: int) -> UserError:
    """Training takes all images then, so two of such sizes would be the same."""
    return UserError(f"batch size {batch_size} is larger than an epoch of {images} images; expected at most that")
