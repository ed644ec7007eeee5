"""What all methods without training promise: their solution, a cell of them, and where they are refused."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from pipeline import methods, protocols
from pipeline.encoding.device import Compute
from pipeline.encoding.encode import outputs
from pipeline.encoding.network import load_cell
from pipeline.params.check import check
from pipeline.params.schema import TRAINING_FREE
from pipeline.preparation.arrays import Prepared
from pipeline.runtime.errors import UserError
from pipeline.runtime.layout import Cell, Group, cells_of
from pipeline.training.cell import solver, train
from pipeline.training.history import read
from tests.conftest import ROOT
from tests.messages import one_line
from tests.methods.solving import D, K, N, solved

CPU = Compute(torch.device("cpu"), "float32")
every_method = pytest.mark.parametrize("name", TRAINING_FREE)


def test_the_methods_without_training_are_found_without_importing_them() -> None:
    assert set(TRAINING_FREE) == {"itq", "lsh", "pca"}
    assert all(methods.create(name, code_length=8, num_classes=2, num_train=9).training_free for name in TRAINING_FREE)


# The solution.


@every_method
def test_outputs_have_the_mean_zero_on_the_training_set(name: str) -> None:
    weight, bias, u = solved(name)
    assert weight.shape == (K, D)
    assert bias.shape == (K,)
    assert u.mean(dim=0).abs().max() < 1e-9


@pytest.mark.parametrize(("name", "differs"), [("lsh", True), ("itq", True), ("pca", False)])
def test_the_seed_decides_what_is_drawn_and_nothing_else(name: str, differs: bool) -> None:
    assert torch.equal(solved(name, seed=1)[0], solved(name, seed=1)[0])
    assert torch.equal(solved(name, seed=1)[0], solved(name, seed=2)[0]) != differs


@pytest.mark.parametrize("name", ["itq", "pca"])
def test_more_bits_than_features_are_refused(name: str) -> None:
    with pytest.raises(UserError) as error:
        solved(name, bits=D + 1)
    one_line(error, f"{name}: 13 bits", "12 features", "300 images", "grid.training_free")


# In a cell.


def params(**head: Any) -> Any:
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    content["backbone"] |= {"name": "identity", "frozen": True}
    content["head"] |= head
    content["split"] = {"protocol": "counts", "per_class": {"query": 10, "validation": 10, "train": 40}}
    return content


def clusters() -> Prepared:
    """Vectors of three classes, apart in all directions."""
    random = np.random.Generator(np.random.PCG64(1))
    classes = np.arange(N) % 3
    vectors = (random.normal(size=(3, D))[classes] * 3 + random.normal(size=(N, D))).astype(np.float32)
    labels = np.eye(3, dtype=np.uint8)[classes]
    manifest = {"content_hash": "0" * 64, "classes": {"a": 100, "b": 100, "c": 100}}
    return Prepared(vectors[:, None], labels, manifest)


@every_method
@pytest.mark.parametrize("normalize", ["none", "l2", "standardize"])
def test_a_cell_holds_the_solution_and_its_codes_find_the_class(name: str, normalize: str, tmp_path: Path) -> None:
    data, content = clusters(), params(hidden=[50], dropout=0.5, normalize=normalize)
    split = protocols.draw(content["split"], data.labels, data.ids, 0)
    cell = Cell(name, "original", 8, 0)
    train(content, {}, cell, data, split, tmp_path)
    network = load_cell(content, cell.group, CPU, data, tmp_path / "weights.safetensors")
    u = outputs(network, data.images, split.train, torch.device("cpu"))
    assert u.mean(dim=0).abs().max() < 1e-4
    (row,) = read(tmp_path / "history.csv")
    assert row["epoch"] == 1
    assert row["validation_map"] > 0.5


def test_a_network_that_is_not_frozen_gives_its_own_features(tmp_path: Path) -> None:
    content = params()
    content["backbone"] |= {"name": "cnn", "frozen": False}
    random = np.random.Generator(np.random.PCG64(1))
    images = random.integers(0, 256, size=(N, 8, 8, 3), dtype=np.uint8)
    data = Prepared(images, clusters().labels, clusters().manifest)
    split = protocols.draw(content["split"], data.labels, data.ids, 0)
    train(content, {}, Cell("pca", "original", 8, 0), data, split, tmp_path)
    network = load_cell(content, Group("pca", "original", 8), CPU, data, tmp_path / "weights.safetensors")
    u = outputs(network, images, split.train, torch.device("cpu"))
    correlation = torch.corrcoef(u.T) - torch.eye(8)
    assert u.mean(dim=0).abs().max() < 1e-4
    assert correlation.abs().max() < 1e-3


# Where they stand and where they are refused.


def test_their_cells_come_last_and_have_one_quantizer() -> None:
    grid = {"methods": ["csq"], "quantizers": ["wr", "hswd"], "bits": [16], "seeds": [0, 1], "training_free": ["lsh"]}
    assert [cell.name for cell in cells_of(grid)] == [  # type: ignore[arg-type]
        "csq-wr-16-0", "csq-wr-16-1", "csq-hswd-16-0", "csq-hswd-16-1", "lsh-original-16-0", "lsh-original-16-1",
    ]  # fmt: skip


@every_method
def test_another_quantizer_is_refused(name: str) -> None:
    data, content = clusters(), params()
    split = protocols.draw(content["split"], data.labels, data.ids, 0)
    assert solver(content, Group(name, "none", 8), 0, data, split)
    with pytest.raises(UserError) as error:
        solver(content, Group(name, "wr", 8), 0, data, split)
    one_line(error, name, "no training", "'wr'", "original or none")


@pytest.mark.parametrize(
    ("section", "key", "value", "said"),
    [
        ("grid", "methods", ["csq", "lsh"], "grid.methods: lsh has no training"),
        ("timing", "methods", ["pca"], "timing.methods: pca has no training"),
        ("grid", "training_free", ["csq"], "grid.training_free.0: expected one of itq, lsh, pca; found 'csq'"),
        ("grid", "training_free", ["lsh", "lsh"], "grid.training_free: expected each value once"),
        ("methods", "itq", None, "methods.itq: missing, but grid.training_free needs it"),
        ("quantizers", "original", None, "quantizers.original: missing, but grid.training_free needs it"),
    ],
)
def test_params_that_make_no_sense_are_refused_in_one_line(section: str, key: str, value: Any, said: str) -> None:
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    content["grid"]["training_free"] = ["itq"]
    content["grid"]["quantizers"] = ["wr"]
    content = deepcopy(content)
    content[section][key] = value
    problems = [problem for problem in check(content) if said in problem]
    assert len(problems) == 1
