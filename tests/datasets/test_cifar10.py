"""CIFAR-10 as its published batches, as class folders, as an archive, and by a download that fails."""

import os
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pipeline import datasets
from pipeline.datasets import Dataset
from pipeline.datasets.cifar10 import BATCHES, CLASSES, FOLDER
from tests.datasets.making import alike, photo, pixels, refused, sound, zipped

# The published batches.

PER_BATCH = 4


def old(value: Any) -> bytes:
    """What Python 2 pickled, opcode by opcode: its texts were bytes, which Python 3 doesn't write any more."""
    match value:
        case bytes():
            return b"T" + struct.pack("<i", len(value)) + value
        case str():
            return b"U" + bytes([len(value)]) + value.encode()
        case int():
            return b"J" + struct.pack("<i", value)
        case list():
            return b"](" + b"".join(map(old, value)) + b"e"
        case dict():
            return b"}(" + b"".join(old(key) + old(entry) for key, entry in value.items()) + b"u"
        case np.ndarray():
            made = b"cnumpy.core.multiarray\n_reconstruct\n" + b"cnumpy\nndarray\nK\x00\x85U\x01b\x87R"
            dtype = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNN" + old(-1) * 2 + b"K\x00tb"
            shape = b"".join(map(old, value.shape)) + b"\x86"
            return made + b"(K\x01" + shape + dtype + b"\x89" + old(value.tobytes()) + b"tb"
    raise TypeError(type(value))


def batch(number: int) -> dict[str, Any]:
    random = np.random.default_rng(number)
    return {
        "batch_label": f"training batch {number} of 5",
        "labels": [(number * PER_BATCH + place) % 10 for place in range(PER_BATCH)],
        "data": random.integers(0, 256, (PER_BATCH, 3072), dtype=np.uint8),
        "filenames": [f"{CLASSES[number]}_s_{place:06}.png" for place in range(PER_BATCH)],
    }


@pytest.fixture
def batches(tmp_path: Path) -> Path:
    """The six files, of four images each."""
    folder = tmp_path / "cifar" / FOLDER
    folder.mkdir(parents=True)
    for number, name in enumerate(BATCHES):
        (folder / name).write_bytes(b"\x80\x02" + old(batch(number)) + b".")
    return folder.parent


def opened(path: Path, download: bool = False) -> Dataset:
    return datasets.create("cifar10", path=str(path), download=download)


def planes(number: int) -> npt.NDArray[np.uint8]:
    """Images (n, 32, 32, 3) of a batch, whose rows hold the red, the green and the blue plane."""
    flat = batch(number)["data"]
    return np.stack([flat[:, start : start + 1024].reshape(-1, 32, 32) for start in (0, 1024, 2048)], axis=-1)


def test_batches_of_python_2_are_read(batches: Path, tmp_path: Path) -> None:
    dataset = opened(batches)
    assert dataset.class_names == CLASSES
    expected = [batch(number) for number in range(6)]
    folders = [*["train"] * 5, "test"]
    assert dataset.ids == [
        f"{of}/{name}" for of, part in zip(folders, expected, strict=True) for name in part["filenames"]
    ]
    assert dataset.labels.argmax(axis=1).tolist() == [label for part in expected for label in part["labels"]]
    assert np.array_equal(pixels(dataset, 32), np.concatenate([planes(number) for number in range(6)]))
    sound(dataset, "cifar10", tmp_path / "data")


def test_batches_are_there_so_nothing_is_downloaded(batches: Path) -> None:
    alike(opened(batches, download=True), opened(batches))


def test_batches_in_an_archive_are_the_same(batches: Path, tmp_path: Path) -> None:
    alike(opened(zipped(batches, tmp_path / "cifar.zip")), opened(batches))


def test_batches_that_python_3_pickled_are_read_too(batches: Path) -> None:
    whole = opened(batches)
    (batches / FOLDER / "test_batch").write_bytes(pickle.dumps(batch(5), 2))
    alike(opened(batches), whole)


class Evil:
    """Calls something when it is unpickled."""

    def __init__(self, call: Any, *arguments: str) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call, self.arguments


@pytest.mark.parametrize("protocol", [0, 2, 5])
@pytest.mark.parametrize("hidden", [False, True])
def test_a_malicious_batch_is_refused_and_runs_nothing(
    batches: Path, tmp_path: Path, protocol: int, hidden: bool
) -> None:
    trace = tmp_path / "trace"
    for name, evil in (("exec", Evil(exec, f"open({str(trace)!r}, 'w')")), ("mkdir", Evil(os.mkdir, str(trace)))):
        content = batch(0) | {"labels": [evil]} if hidden else evil
        file = batches / FOLDER / "data_batch_1"
        file.write_bytes(pickle.dumps(content, protocol))
        refused("cifar10", str(file), "wants to import", f".{name})", path=str(batches), download=False)
        assert not trace.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\x80\x02}", b"<html>not found</html>", pickle.dumps([1]), pickle.dumps({"data": 1}),
        pickle.dumps(batch(0) | {"labels": [0, 1]}), pickle.dumps(batch(0) | {"labels": [0, 1, 2, 10]}),
        pickle.dumps(batch(0) | {"labels": [0, 1, 2, -1]}), pickle.dumps(batch(0) | {"filenames": ["a"]}),
    ],
)  # fmt: skip
def test_a_batch_that_is_something_else_is_refused(batches: Path, content: bytes) -> None:
    file = batches / FOLDER / "data_batch_3"
    file.write_bytes(content)
    refused("cifar10", str(file), "not one of CIFAR-10's files", path=str(batches), download=False)


def test_a_missing_batch_is_named(batches: Path) -> None:
    (batches / FOLDER / "test_batch").unlink()
    refused("cifar10", f"1 of 6 of CIFAR-10's files are missing: {FOLDER}/test_batch", path=str(batches))


def test_a_download_without_a_network_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        # Nobody listens there, and nothing goes around it.
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    # What urllib makes on its first call remembers these proxies; later tests get one that doesn't.
    monkeypatch.setattr("urllib.request._opener", None)
    folder = tmp_path / "new" / "folder"
    parts = "couldn't be downloaded", "Connection refused", "cifar-10-python.tar.gz", "download: false"
    refused("cifar10", "dataset.path", str(folder), *parts, path=str(folder), download=True)


def test_a_download_into_a_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file.txt"
    file.write_text("not a folder")
    refused("cifar10", "neither a folder nor a zip archive", str(file), path=str(file), download=True)


def test_nothing_is_downloaded_where_files_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Class folders, even incomplete ones, are said to be incomplete rather than mixed with the published files."""
    monkeypatch.setattr("pipeline.datasets.cifar10._download", lambda folder: pytest.fail("a download"))
    (tmp_path / "train").mkdir()
    refused("cifar10", "class folders", path=str(tmp_path), download=True)


# Class folders.


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Three 8 x 8 images a class in train and in test; one grey, one larger, and a file that is none."""
    root = tmp_path / "tree"
    for seed, (part, name) in enumerate((part, name) for part in ("train", "test") for name in CLASSES):
        for number in range(3):
            photo(root / part / name / f"{number}.png", 10 * seed + number, (8, 8, 3))
    photo(root / "train/cat/1.png", 1000, (8, 8))
    photo(root / "test/dog/2.png", 1001, (20, 14, 3))
    (root / "train" / "cat" / "notes.txt").write_text("not an image")
    return root


def test_class_folders_of_train_and_test_are_pooled(tree: Path) -> None:
    dataset = opened(tree)
    assert dataset.class_names == CLASSES
    assert dataset.labels.shape == (60, 10)
    assert dataset.labels.sum(axis=0).tolist() == [6] * 10
    for image_id, label in zip(dataset.ids, dataset.labels, strict=True):
        assert CLASSES[label.argmax()] == image_id.split("/")[1]
    assert len(set(dataset.ids)) == 60
    assert {image_id.split("/")[0] for image_id in dataset.ids} == {"train", "test"}


def test_class_folders_become_arrays_and_warn_of_another_count(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = sound(opened(tree), "cifar10", tmp_path / "data")
    assert data.manifest["classes"] == dict.fromkeys(CLASSES, 6)
    assert "cifar10 was published with 60,000 images, 60 were found" in capsys.readouterr().err


def test_an_archive_of_class_folders_is_the_same(tree: Path, tmp_path: Path) -> None:
    archive = zipped(tree, tmp_path / "cifar.zip")
    alike(opened(archive), opened(tree))
    sound(opened(archive), "cifar10", tmp_path / "data")


def test_a_class_folder_that_is_missing_is_named(tree: Path) -> None:
    (tree / "train" / "frog").rename(tree / "train" / "toad")
    refused("cifar10", "dataset.path", "1 of 20", str(tree), "train/frog", path=str(tree))


def test_a_folder_without_images_is_refused(tree: Path) -> None:
    for file in tree.rglob("*.png"):
        file.unlink()
    refused("cifar10", "dataset.path", "20 of 20", str(tree), FOLDER, "download: true", path=str(tree))


def test_a_path_is_needed_and_must_be_there(tmp_path: Path) -> None:
    refused("cifar10", "dataset.path", "found null", path=None)
    refused("cifar10", "dataset.path", "not found", "download: true", path=str(tmp_path / "nowhere"))
    archive = tmp_path / "bad.zip"
    with zipfile.ZipFile(archive, "w") as target:
        target.writestr("../train/cat/1.png", b"")
    refused("cifar10", str(archive), "leads out", path=str(archive))
