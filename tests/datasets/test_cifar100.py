"""CIFAR-100 as its published files: fine and coarse labels, and what is refused."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline import datasets
from pipeline.datasets.cifar100 import COUNTS, FOLDER
from tests.datasets.making import alike, pixels, refused, sound, zipped


def part(seed: int, count: int) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    fine = (np.arange(count) * 7 + seed) % 100
    return {
        "data": random.integers(0, 256, (count, 3072), dtype=np.uint8),
        "fine_labels": fine.tolist(),
        "coarse_labels": (fine // 5).tolist(),
        "filenames": [f"image_s_{number:06}.png" for number in range(count)],
        "batch_label": "one",
    }


META = {f"{kind}_label_names": [f"{kind} {number}" for number in range(count)] for kind, count in COUNTS.items()}


@pytest.fixture
def published(tmp_path: Path) -> Path:
    folder = tmp_path / "cifar" / FOLDER
    folder.mkdir(parents=True)
    for name, content in (("train", part(0, 8)), ("test", part(1, 4)), ("meta", META)):
        (folder / name).write_bytes(pickle.dumps(content, 2))
    return folder.parent


@pytest.mark.parametrize("labels", COUNTS)
def test_both_parts_are_pooled(published: Path, tmp_path: Path, labels: str) -> None:
    dataset = datasets.create("cifar100", path=str(published), labels=labels)
    assert dataset.class_names == META[f"{labels}_label_names"]
    expected = [part(0, 8), part(1, 4)]
    assert dataset.labels.argmax(axis=1).tolist() == [n for one in expected for n in one[f"{labels}_labels"]]
    assert dataset.ids[0] == "train/image_s_000000.png" and dataset.ids[-1] == "test/image_s_000003.png"
    planes = expected[0]["data"][0].reshape(3, 32, 32)
    assert np.array_equal(pixels(dataset, 32)[0], planes.transpose(1, 2, 0))
    sound(dataset, "cifar100", tmp_path / "data")


def test_an_archive_is_the_same(published: Path, tmp_path: Path) -> None:
    there = datasets.create("cifar100", path=str(zipped(published, tmp_path / "cifar.zip")))
    alike(there, datasets.create("cifar100", path=str(published)))


def test_what_is_missing_or_something_else_is_one_line(published: Path) -> None:
    (published / FOLDER / "meta").write_bytes(pickle.dumps({"fine_label_names": ["one"]}, 2))
    refused("cifar100", "meta: expected the names of 100 classes", path=str(published))
    (published / FOLDER / "meta").write_bytes(pickle.dumps([META], 2))
    refused("cifar100", "meta: expected the names of 100 classes", path=str(published))
    (published / FOLDER / "test").write_bytes(b"<html>")
    (published / FOLDER / "meta").write_bytes(pickle.dumps(META, 2))
    refused("cifar100", "test: not one of CIFAR-100's files", path=str(published))
    (published / FOLDER / "test").unlink()
    refused("cifar100", "1 of 3 of CIFAR-100's files are missing", path=str(published))
    refused("cifar100", "labels", "'superclass'", path=str(published), labels="superclass")
