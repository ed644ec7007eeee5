"""Settings: a few values that stand in for those of params.yaml in one training run, and what then counts for it."""

from copy import deepcopy
from pathlib import Path
from typing import Any

from pipeline.runtime.layout import Group
from pipeline.runtime.outputs import read_json

Setting = dict[str, float | int | str]


def with_setting(params: dict[str, Any], group: Group, setting: Setting) -> dict[str, Any]:
    """The params that a run of ``group`` uses under ``setting``.

    Args:
        setting: ``learning_rate`` is ``training.optimizer``'s, ``batch_size`` is ``training``'s; any other name is one
            of the quantizer's own hyperparameters.
    """
    changed = deepcopy(params)
    for name, value in setting.items():
        if name == "learning_rate":
            changed["training"]["optimizer"][name] = value
        elif name == "batch_size":
            changed["training"][name] = value
        else:
            changed["quantizers"][group.quantizer][name] = value
    return changed


def spelled(setting: Setting) -> str:
    """``learning_rate=0.002, own_weight=0.5``; empty for an empty one."""
    return ", ".join(f"{name}={value}" for name, value in setting.items())


def chosen(tuned: Path) -> Setting:
    """The setting that the tune stage left in its folder; empty where it was switched off."""
    setting: Setting = read_json(tuned / "choice.json")["setting"]
    return setting
