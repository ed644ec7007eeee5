"""What the tests of datasets share: images, archives, and the way into arrays."""

import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from pipeline import datasets, protocols
from pipeline.datasets import Dataset
from pipeline.encoding.device import Compute
from pipeline.encoding.encode import write_codes
from pipeline.encoding.network import load
from pipeline.evaluation.cell import evaluate_cell
from pipeline.preparation import arrays, splits
from pipeline.preparation.square import square
from pipeline.runtime.errors import UserError
from pipeline.runtime.layout import Cell
from pipeline.runtime.outputs import read_json
from pipeline.training.cell import train
from tests.conftest import ROOT
from tests.messages import one_line


def photo(file: Path, seed: int, shape: tuple[int, ...] = (20, 24, 3)) -> None:
    """An image file of noise."""
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)).save(file)


def text(file: Path, content: str) -> None:
    """A text file with exactly these ends of lines."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content.encode())


def zipped(folder: Path, archive: Path) -> Path:
    """All files of a folder as an archive."""
    with zipfile.ZipFile(archive, "w") as target:
        for file in sorted(folder.rglob("*")):
            target.write(file, file.relative_to(folder).as_posix())
    return archive


def refused(name: str, *parts: str, **arguments: Any) -> None:
    """The dataset can't be made, and one line says why."""
    with pytest.raises(UserError) as error:
        datasets.create(name, **arguments)
    one_line(error, *parts)


def pixels(dataset: Dataset, size: int = 16) -> Any:
    """All images, in the way that ``prepare`` looks at them."""
    found = []
    for row in range(len(dataset.ids)):
        with dataset.image(row) as image:
            found.append(square(image, size))
    return np.stack(found)


def sound(dataset: Dataset, name: str, folder: Path) -> arrays.Prepared:
    """What every dataset promises: it keeps the contract, survives pickling and goes through the whole chain."""
    assert dataset.labels.shape == (len(dataset.ids), len(dataset.class_names))
    assert dataset.labels.dtype == np.uint8
    assert set(np.unique(dataset.labels)) <= {0, 1}
    assert len(set(dataset.ids)) == len(dataset.ids)
    copy = pickle.loads(pickle.dumps(dataset))
    assert copy.ids == dataset.ids
    seen = pixels(dataset)
    assert np.array_equal(pixels(copy), seen)
    folder.mkdir()
    arrays.write(dataset, name, folder, image_size=16, processes=1)
    data = arrays.load(folder)
    assert np.array_equal(data.images, seen)
    assert np.array_equal(data.labels, dataset.labels)
    assert list(data.manifest["classes"]) == dataset.class_names
    assert (folder / "ids.txt").read_text().splitlines() == dataset.ids
    _goes_through_the_chain(data, folder)
    return data


def _goes_through_the_chain(data: arrays.Prepared, folder: Path) -> None:
    """Split, train, encode and evaluate, as the stages do."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["backbone"] |= {"input_size": 16}
    params["training"] |= {"epochs": 1, "batch_size": 2, "validate_every": 1}
    cell = Cell("dsdh", "wr", 8, 0)
    split, trained, codes, measured = (folder / stage for stage in ("split", "train", "codes", "metrics"))
    for stage in (split, trained, codes, measured):
        stage.mkdir()
    labelled = int(data.labels.any(axis=1).sum())
    numbers = {"query": 1, "validation": 1, "train": labelled - 2}
    drawn = protocols.create("counts", total=numbers).split(data.labels, [], 0)
    splits.write(drawn, split, protocol="counts", seed=0, manifest=data.manifest)
    drawn = splits.load(split)
    train(params, {}, cell, data, drawn, trained)
    compute = Compute(torch.device("cpu"), "float32")
    network = load(params["backbone"], cell.bits, compute, trained / "weights.safetensors")
    write_codes(network, data, drawn, compute.device, codes)
    evaluate_cell(params["evaluation"], cell, trained, codes, measured)
    assert 0 <= read_json(measured / "metrics.json")["map"] <= 1


def alike(one: Dataset, other: Dataset) -> None:
    """Two datasets hold the same, such as a folder and an archive of it."""
    assert one.ids == other.ids
    assert one.class_names == other.class_names
    assert np.array_equal(one.labels, other.labels)
    assert np.array_equal(pixels(one), pixels(other))
