"""Settings: values that replace those of params.yaml in one training run."""

from copy import deepcopy
from pathlib import Path

from pipeline.params import Params
from pipeline.runtime.layout import Group
from pipeline.runtime.outputs import read_json

Setting = dict[str, float | int | str]


def with_setting(params: Params, group: Group, setting: Setting) -> Params:
    """A copy of ``params`` with the values of ``setting``.

    Args:
        params: the content of params.yaml.
        group: method, quantizer and code length of the run.
        setting: ``learning_rate`` belongs to ``training.optimizer`` and ``batch_size`` to ``training``. Any other name
            is a hyperparameter of the quantizer.
    """
    changed = deepcopy(params)
    for name, value in setting.items():
        if name == "learning_rate":
            changed["training"]["optimizer"]["learning_rate"] = float(value)
        elif name == "batch_size":
            changed["training"]["batch_size"] = int(value)
        else:
            changed["quantizers"][group.quantizer][name] = value
    return changed


def spelled(setting: Setting) -> str:
    """A setting as text, such as ``learning_rate=0.002, own_weight=0.5``; empty for an empty setting."""
    return ", ".join(f"{name}={value}" for name, value in setting.items())


def chosen(tuned: Path) -> Setting:
    """Read the setting that the tune stage chose from its folder; empty if tuning is switched off."""
    setting: Setting = read_json(tuned / "choice.json")["setting"]
    return setting
