"""Timing: the quantizers take turns, and an epoch's seconds are for all of its images."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from pipeline.preparation.arrays import Prepared
from pipeline.runtime.errors import UserError
from pipeline.training import timing
from tests.conftest import ROOT
from tests.messages import one_line


@pytest.fixture
def params() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())
    content["timing"] |= {"quantizers": ["original", "wr", "hswd"], "bits": 8, "epochs": 2}
    content["split"] = {"protocol": "hswd", "query": 10, "train": 50, "validation": 10}
    return content


@pytest.fixture
def data() -> Prepared:
    images = np.random.default_rng(0).integers(0, 256, (100, 8, 8, 3), dtype=np.uint8)
    return Prepared(images, np.eye(4, dtype=np.uint8)[np.arange(100) % 4], {})


@pytest.mark.parametrize("method", ["dsdh", "adsh"])
def test_quantizers_take_turns(method: str, params: dict[str, Any], data: Prepared, tmp_path: Path) -> None:
    timing.measure(params, method, 16, data, tmp_path)
    with (tmp_path / "timing.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["epoch"], row["quantizer"]) for row in rows] == [
        (epoch, quantizer) for epoch in ("1", "2") for quantizer in ("original", "wr", "hswd")
    ], "the first epoch, which sets things up, isn't counted"
    assert all(float(row["seconds"]) > 0 for row in rows)


def test_a_batch_larger_than_an_epoch_is_one_line(params: dict[str, Any], data: Prepared, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        timing.measure(params, "csq", 512, data, tmp_path)
    one_line(error, "batch size 512 is larger than an epoch of 50 images")


def test_seconds_are_for_all_images_of_an_epoch(
    params: dict[str, Any], data: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """50 images in batches of 16 are 48 that are trained on: a clock that ticks once a call shows the factor."""
    ticks = iter(range(1000))
    monkeypatch.setattr(timing.time, "perf_counter", lambda: float(next(ticks)))
    timing.measure(params, "dsdh", 16, data, tmp_path)
    lines = (tmp_path / "timing.csv").read_text().splitlines()[1:]
    assert {float(line.split(",")[2]) for line in lines} == {50 / 48}
