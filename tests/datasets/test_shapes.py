"""Shapes: the same images everywhere, labels that say what is drawn, and any number of them."""

import hashlib
import pickle
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pipeline import datasets
from pipeline.datasets import Dataset
from pipeline.datasets.shapes import CLASSES
from pipeline.runtime.errors import UserError
from tests.datasets.making import sound


def shapes(images: int = 50, **arguments: Any) -> Dataset:
    return datasets.create("shapes", path=None, images=images, **arguments)


def pixels(dataset: Dataset, row: int) -> npt.NDArray[np.uint8]:
    return np.asarray(dataset.image(row))


def test_images_are_rgb_of_the_side_asked_for() -> None:
    for side in (1, 5, 64):
        image = shapes(side=side).image(3)
        assert (image.mode, image.size) == ("RGB", (side, side))
    assert pixels(shapes(), 0).std() > 10


def test_labels_are_one_to_three_kinds_all_as_frequent() -> None:
    dataset = shapes(30_000)
    assert dataset.labels.shape == (30_000, 10)
    assert dataset.class_names == CLASSES == sorted(CLASSES)
    counts = np.bincount(dataset.labels.sum(axis=1), minlength=4)
    assert counts[0] == 0
    assert np.abs(counts[1:] / 10_000 - 1).max() < 0.05
    assert np.abs(dataset.labels.mean(axis=0) / 0.2 - 1).max() < 0.05
    # Kinds say nothing of each other: given one of them, others are drawn from the rest.
    together = dataset.labels.T.astype(int) @ dataset.labels
    others = together[~np.eye(10, dtype=bool)]
    assert np.abs(others / others.mean() - 1).max() < 0.15


def test_the_numbers_are_the_same_on_every_machine_and_version() -> None:
    """Published numbers belong to these labels: no NumPy may change them."""
    digest = hashlib.sha256(shapes(1000, seed=3).labels.tobytes()).hexdigest()
    assert digest == "e83f8076358ed924482e1a89332eced2001f2609e28ee7db1824a365cee1a4f7"


def test_an_image_is_its_seeds_and_rows_alone() -> None:
    few, many = shapes(8), shapes(100)
    assert np.array_equal(few.labels, many.labels[:8])
    before = pixels(many, 5)
    pixels(many, 99)
    np.random.seed(1)
    assert np.array_equal(pixels(few, 5), before)
    assert np.array_equal(pixels(pickle.loads(pickle.dumps(few)), 5), before)
    different = {hashlib.sha256(pixels(many, row).tobytes()).digest() for row in range(100)}
    assert len(different) == 100


def test_another_seed_draws_other_images_and_labels() -> None:
    a, b = shapes(seed=0), shapes(seed=1)
    assert not np.array_equal(a.labels, b.labels)
    assert not np.array_equal(pixels(a, 0), pixels(b, 0))
    assert shapes(seed=2**70).image(0).size == (64, 64)


def test_every_kind_is_drawn_and_looks_different() -> None:
    """An image without noise and ground would be too easy to compare; the mean of many isn't."""
    dataset = shapes(600)
    single = dataset.labels.sum(axis=1) == 1
    means = []
    for kind in range(10):
        rows = np.flatnonzero(single & (dataset.labels[:, kind] == 1))
        means.append(np.mean([pixels(dataset, row) for row in rows[:10]], axis=0).mean(axis=(0, 1)))
    spread = np.linalg.norm(np.array(means)[:, None] - np.array(means)[None], axis=2)
    assert spread[~np.eye(10, dtype=bool)].min() > 0.3


def test_two_hundred_thousand_open_quickly() -> None:
    start = time.perf_counter()
    dataset = shapes(200_000)
    assert len(dataset.ids) == len(set(dataset.ids)) == len(dataset.labels) == 200_000
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"path": "/somewhere"}, "dataset.path: expected null"),
        ({"path": None, "images": 0}, "images"),
        ({"path": None, "seed": -1}, "seed"),
        ({"path": None, "side": 0}, "side"),
    ],
)
def test_what_shapes_have_not_is_refused(arguments: dict[str, Any], named: str) -> None:
    with pytest.raises(UserError, match=named) as error:
        datasets.create("shapes", **arguments)
    assert len(str(error.value).splitlines()) == 1


def test_shapes_go_through_the_chain(tmp_path: Path) -> None:
    sound(shapes(20), "shapes", tmp_path / "data")
