"""Prepared arrays: what is on disk, what the manifest says, and what the content hash is of."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from pipeline.codes import pack_labels
from pipeline.preparation.decoding import CHUNK
from pipeline.runtime.errors import UserError
from tests.messages import one_line
from tests.preparation.helpers import Made, contents, prepared


def test_arrays_come_back_as_they_were_written(tmp_path: Path) -> None:
    dataset = Made()
    data = prepared(dataset, tmp_path / "data")
    assert np.array_equal(data.images, dataset.pixels)
    assert isinstance(data.images, np.memmap)
    assert np.array_equal(data.labels, dataset.labels)
    assert data.labels.dtype == np.uint8
    assert (tmp_path / "data" / "ids.txt").read_text().splitlines() == dataset.ids
    assert sorted(contents(tmp_path / "data")) == [
        "ids.txt", "images.npy", "images.sha256", "labels.npy", "manifest.json",
    ]  # fmt: skip


def hash_of(dataset: Made) -> str:
    """The content hash by its definition."""
    total = b""
    for start in range(0, len(dataset.ids), 256):
        total += hashlib.sha256(dataset.pixels[start : start + 256].tobytes()).digest()
    total += pack_labels(dataset.labels).tobytes() + ("\n".join(dataset.ids) + "\n").encode()
    return hashlib.sha256(total).hexdigest()


def test_manifest_says_what_is_there(tmp_path: Path) -> None:
    dataset = Made()
    dataset.labels = np.array([[1, 0], [0, 1], [1, 1], [1, 0], [0, 0], [1, 0]], np.uint8)
    assert prepared(dataset, tmp_path / "data").manifest == {
        "dataset": "made",
        "images": 6,
        "image_size": 4,
        "published": None,
        "skipped": 0,
        "left_out": {},
        "classes": {"a": 4, "b": 2},
        "labels_per_image": 1.0,
        "unlabelled": 1,
        "content_hash": hash_of(dataset),
    }


@pytest.mark.parametrize("count", [1, CHUNK - 1, CHUNK, CHUNK + 1])
def test_content_hash_is_of_chunks_of_256_images_then_labels_then_ids(tmp_path: Path, count: int) -> None:
    dataset = Made(count)
    assert prepared(dataset, tmp_path / "data").manifest["content_hash"] == hash_of(dataset)


def test_content_hash_changes_with_pixels_labels_and_ids(tmp_path: Path) -> None:
    pixel, label, name = Made(), Made(), Made()
    pixel.pixels[5, 3, 3, 2] ^= 1
    label.labels[0] ^= 1
    name.ids = ["other.png", *name.ids[1:]]
    hashes = [
        prepared(dataset, tmp_path / str(i)).manifest["content_hash"]
        for i, dataset in enumerate([Made(), pixel, label, name])
    ]
    assert len(set(hashes)) == 4
    assert prepared(Made(), tmp_path / "again").manifest["content_hash"] == hashes[0]


def test_arrays_are_the_same_bytes_each_time(tmp_path: Path) -> None:
    for folder in ("first", "second"):
        prepared(Made(), tmp_path / folder)
    assert contents(tmp_path / "first") == contents(tmp_path / "second")


def test_another_number_of_images_than_was_published_is_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = Made()
    dataset.published = 7000
    assert prepared(dataset, tmp_path / "data").manifest["published"] == 7000
    said = capsys.readouterr()
    assert "warning: made was published with 7,000 images, 6 were found" in said.out + said.err


def test_a_dataset_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        prepared(Made(0), tmp_path / "data")
    one_line(error, "no images")
