"""Training a cell from images on disk, where memory has no room for them."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from pipeline import protocols
from pipeline.encoding import images as image_module
from pipeline.preparation.arrays import Prepared
from pipeline.runtime.layout import Cell
from pipeline.training.cell import train
from tests.conftest import ROOT


@pytest.mark.parametrize("method", ["csq", "adsh"])
def test_images_read_from_disk_train_the_same_weights(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(0)
    np.save(tmp_path / "images.npy", random.integers(0, 256, (120, 8, 8, 3), dtype=np.uint8))
    labels = np.eye(4, dtype=np.uint8)[np.arange(120) % 4]
    data = Prepared(np.load(tmp_path / "images.npy", mmap_mode="r"), labels, {"content_hash": "x"})
    split = protocols.create("counts", per_class={"query": 5, "validation": 5, "train": 15}).split(labels, 0)
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["training"] |= {"epochs": 2, "batch_size": 16}
    written = []
    for kind, free in (("resident", 1 << 40), ("mapped", 0)):
        monkeypatch.setattr(image_module, "_free", lambda device, free=free: free)
        (tmp_path / kind).mkdir()
        train(params, {}, Cell(method, "wr", 16, 0), data, split, tmp_path / kind)
        written.append((tmp_path / kind / "weights.safetensors").read_bytes())
    assert written[0] == written[1]
