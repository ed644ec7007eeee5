"""One training run to learn what a setting is worth: no files, and never a look at the query images."""

from typing import Any

from pipeline import protocols
from pipeline.preparation.arrays import Prepared
from pipeline.runtime.layout import Group
from pipeline.training.cell import trainer
from pipeline.training.history import History
from pipeline.training.setting import Setting, with_setting


def validation_map(params: dict[str, Any], group: Group, setting: Setting, seed: int, data: Prepared) -> float:
    """The validation mAP that a cell of ``group`` reaches under a setting.

    It is that of the epoch which ``training.selection`` keeps; where that is ``test``, that of the best epoch by
    validation, so that no choice made here has seen a query image.

    Args:
        seed: draws the split, and fixes all that a cell's seed fixes.

    Raises:
        UserError: the loss isn't finite, or the split can't be drawn.
    """
    params = with_setting(params, group, setting)
    if params["training"]["selection"] == "test":
        params["training"]["selection"] = "validation"
    split = protocols.draw(params["split"], data.labels, seed)
    return trainer(params, group, seed, data, split).fit(History()).validation_map
