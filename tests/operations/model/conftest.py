"""Trained cells, made by the stages in this process."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.params import Params
from pipeline.runtime.layout import Cell, Layout
from stages import encode, evaluate, features, prepare, split, tune
from stages import train as training
from tests.conftest import ROOT, grid

CELL = Cell("csq", "original", 16, 0)
ARGUMENTS = ["--method", "csq", "--quantizer", "original", "--bits", "16", "--seed", "0"]


@dataclass(frozen=True)
class Trained:
    """A cell, the params that it was made with, and the folder that holds ``results``."""

    params: Params
    cell: Cell
    folder: Path

    @property
    def layout(self) -> Layout:
        return Layout(self.params["study"], self.folder)


def _trained(folder: Path, **changed: Any) -> Trained:
    params = yaml.safe_load((ROOT / "params.yaml").read_text()) | {"study": "small", "grid": grid(), **changed}
    params["training"] |= {"epochs": 2}
    params["compute"] |= {"device": "cpu"}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        prepare.STAGE.call(params, [])
        for view in params["features"]["views"]:
            features.STAGE.call(params, ["--view", view])
        split.STAGE.call(params, ["--seed", "0"])
        tune.STAGE.call(params, ARGUMENTS[:6])
        training.STAGE.call(params, ARGUMENTS)
        encode.STAGE.call(params, ARGUMENTS)
        evaluate.STAGE.call(params, ARGUMENTS)
    return Trained(params, CELL, folder)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A cell of the digits. Tests that use it read, or work on a copy of its folder."""
    return _trained(tmp_path_factory.mktemp("trained"))


@pytest.fixture(scope="session")
def trained_head(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The same on the features of a frozen backbone with random weights."""
    backbone = {"name": "cnn", "weights": "none", "input_size": 8, "frozen": True}
    head = {"hidden": [32], "dropout": 0.2, "normalize": "standardize"}
    folder = tmp_path_factory.mktemp("trained_head")
    return _trained(folder, backbone=backbone, features={"views": ["plain"]}, head=head)
