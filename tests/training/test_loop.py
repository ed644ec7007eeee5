"""Training a cell: from images on disk, where memory has no room for them, and in both precisions."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from pipeline import protocols
from pipeline.codes import unpack
from pipeline.encoding import images as image_module
from pipeline.preparation import splits
from pipeline.preparation.arrays import Prepared
from pipeline.runtime.errors import Diverged
from pipeline.runtime.layout import Cell, Group, Layout
from pipeline.runtime.outputs import read_json
from pipeline.training.cell import train, trainer
from stages import encode, evaluate, prepare, split, tune
from stages import train as training
from tests.conftest import ROOT


@pytest.mark.parametrize("method", ["csq", "adsh"])
def test_images_read_from_disk_train_the_same_weights(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(0)
    np.save(tmp_path / "images.npy", random.integers(0, 256, (120, 8, 8, 3), dtype=np.uint8))
    labels = np.eye(4, dtype=np.uint8)[np.arange(120) % 4]
    data = Prepared(np.load(tmp_path / "images.npy", mmap_mode="r"), labels, {"content_hash": "x"})
    split = protocols.create("counts", per_class={"query": 5, "validation": 5, "train": 15}).split(labels, [], 0)
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["training"] |= {"epochs": 2, "batch_size": 16}
    written = []
    for kind, free in (("resident", 1 << 40), ("mapped", 0)):
        monkeypatch.setattr(image_module, "_free", lambda device, free=free: free)
        (tmp_path / kind).mkdir()
        train(params, {}, Cell(method, "wr", 16, 0), data, split, tmp_path / kind)
        written.append((tmp_path / kind / "weights.safetensors").read_bytes())
    assert written[0] == written[1]


@pytest.mark.parametrize("quantizer", ["wr", "swd", "hswd", "ot", "cb"])
def test_every_quantizer_sees_the_same_batches(quantizer: str) -> None:
    """The t-test is paired: of a seed, order and augmentation are the same in every epoch."""
    assert seen(quantizer) == seen("original")


def seen(quantizer: str) -> list[tuple[list[int], int]]:
    """The indices of every batch of three epochs, and the sum of its augmented pixels."""
    random = np.random.default_rng(0)
    labels = np.eye(4, dtype=np.uint8)[np.arange(120) % 4]
    data = Prepared(random.integers(0, 256, (120, 8, 8, 3), dtype=np.uint8), labels, {"content_hash": "x"})
    split = protocols.create("counts", per_class={"query": 5, "validation": 5, "train": 15}).split(labels, [], 0)
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["training"] |= {"batch_size": 16, "augmentation": {"crop_padding": 1, "flip": True}}
    one = trainer(params, Group("csq", quantizer, 16), 0, data, split)
    random_views, similarity = one.random_views, one.method.similarity_loss
    pixels, orders = list[int](), list[list[int]]()

    def augmented(images: torch.Tensor, generator: torch.Generator, count: int) -> list[torch.Tensor]:
        (view,) = random_views(images, generator, count)
        pixels.append(int(view.long().sum()))
        return [view]

    def compared(u: torch.Tensor, labels: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
        orders.append(indices.tolist())
        return similarity(u, labels, indices)

    one.random_views, one.method.similarity_loss = augmented, compared  # type: ignore[method-assign]
    one.prime()
    for epoch in range(3):
        one.epoch(epoch)
    return list(zip(orders, pixels, strict=True))


# Both precisions, by the stages that `dvc repro` runs.

CELL = Cell("csq", "original", 16, 0)
ARGUMENTS = ["--method", "csq", "--quantizer", "original", "--bits", "16", "--seed", "0"]


def digits(precision: str) -> dict[str, Any]:
    """The default study, but for the precision and where its results go; on the CPU."""
    params: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())
    return params | {
        "study": precision,
        "compute": {"device": "cpu", "precision": precision, "numerics": "portable", "threads": 1},
    }


def run(params: dict[str, Any]) -> dict[str, Any]:
    """All stages of the cell; what evaluate says of it."""
    prepare.STAGE.call(params, [])
    split.STAGE.call(params, ["--seed", "0"])
    tune.STAGE.call(params, ARGUMENTS[:6])
    for stage in (training, encode, evaluate):
        stage.STAGE.call(params, ARGUMENTS)
    metrics: dict[str, Any] = read_json(Layout(params["study"]).metrics(CELL) / "metrics.json")
    return metrics


def stored(study: str) -> dict[str, bytes]:
    """The bytes of a cell's weights, history and codes."""
    layout = Layout(study)
    files = [*layout.train(CELL).iterdir(), *layout.codes(CELL).iterdir()]
    return {file.name: file.read_bytes() for file in files if file.suffix != ".json"}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Metrics of the cell in each precision, in the folder that they were made in."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("precisions"))
        yield {precision: run(digits(precision)) for precision in ("auto", "float32", "bfloat16")}


def test_bfloat16_trains_as_well_as_float32(ran: dict[str, Any]) -> None:
    """The default study's seeds differ by 0.009 (a standard deviation)."""
    assert ran["float32"]["map"] > 0.94
    assert abs(ran["bfloat16"]["map"] - ran["float32"]["map"]) < 0.02


def test_auto_is_float32_on_the_cpu(ran: dict[str, Any]) -> None:
    assert stored("auto") == stored("float32")
    assert stored("auto") != stored("bfloat16")


def test_a_cell_says_what_it_was_computed_in(ran: dict[str, Any]) -> None:
    found = {asked: (metrics["device"], metrics["precision"]) for asked, metrics in ran.items()}
    assert found == {"auto": ("cpu", "float32"), "float32": ("cpu", "float32"), "bfloat16": ("cpu", "bfloat16")}
    assert read_json(Layout("bfloat16").train(CELL) / "training.json")["precision"] == "bfloat16"


def test_bfloat16_gives_the_same_bytes_again(ran: dict[str, Any]) -> None:
    before = stored("bfloat16")
    run(digits("bfloat16"))
    assert stored("bfloat16") == before


def test_weights_are_float32_and_load_in_the_other_precision(ran: dict[str, Any]) -> None:
    layout = Layout("bfloat16")
    weights = load_file(layout.train(CELL) / "weights.safetensors")
    assert {value.dtype for value in weights.values()} == {torch.float32, torch.int64}, "counts of batches are int64"
    own = unpack(np.load(layout.codes(CELL) / "database_codes.npy"), 16)
    assert len(own) == len(splits.load(layout.split(0)).database)
    aside = digits("float32") | {"study": "bfloat16"}
    encode.STAGE.call(aside, ARGUMENTS)
    agreeing = (unpack(np.load(layout.codes(CELL) / "database_codes.npy"), 16) == own).mean()
    encode.STAGE.call(digits("bfloat16"), ARGUMENTS)
    assert 0.99 < agreeing, "but for outputs within rounding of 0"
    assert np.array_equal(unpack(np.load(layout.codes(CELL) / "database_codes.npy"), 16), own)


def test_the_history_is_closed_where_training_diverges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.training import history

    kept: list[history.History] = []
    start = history.History.__init__
    monkeypatch.setattr(history.History, "__init__", lambda self, path=None: (start(self, path), kept.append(self))[0])
    params = digits("float32")
    params["training"]["optimizer"]["learning_rate"] = 1e30
    monkeypatch.chdir(tmp_path)
    prepare.STAGE.call(params, [])
    split.STAGE.call(params, ["--seed", "0"])
    tune.STAGE.call(params, ARGUMENTS[:6])
    with pytest.raises(Diverged):
        training.STAGE.call(params, ARGUMENTS)
    assert all(one._file is None or one._file.closed for one in kept) and kept
