"""MNIST and Fashion-MNIST as IDX files: names, compression, folders, and what is refused."""

import gzip
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from pipeline import datasets
from tests.datasets.making import alike, pixels, refused, sound, zipped

BEGINS = {"train": 12, "t10k": 6}


def idx(values: npt.NDArray[np.uint8]) -> bytes:
    return struct.pack(f">{1 + values.ndim}I", 0x0800 + values.ndim, *values.shape) + values.tobytes()


def images(begin: str) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(len(begin)).integers(0, 256, (BEGINS[begin], 28, 28), dtype=np.uint8)


def labels(begin: str) -> npt.NDArray[np.uint8]:
    return np.arange(BEGINS[begin], dtype=np.uint8) % 10


def write(folder: Path, *, packed: bool = True, dot: bool = False) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for begin in BEGINS:
        for kind, values in (("images-idx3-ubyte", images(begin)), ("labels-idx1-ubyte", labels(begin))):
            name = f"{begin}-{kind.replace('-idx', '.idx') if dot else kind}"
            content = idx(values)
            (folder / (name + ".gz" * packed)).write_bytes(gzip.compress(content) if packed else content)
    return folder


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_both_parts_are_pooled(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = datasets.create(name, path=str(write(tmp_path / "files")))
    assert len(dataset.class_names) == 10
    assert dataset.labels.argmax(axis=1).tolist() == [*labels("train"), *labels("t10k")]
    assert dataset.ids[:2] == ["train/0", "train/1"] and dataset.ids[-1] == "test/5"
    grey = np.concatenate([images("train"), images("t10k")])
    assert np.array_equal(pixels(dataset, 28), grey[..., None].repeat(3, axis=-1))
    sound(dataset, name, tmp_path / "data")
    assert f"{name} was published with 70,000 images, 18 were found" in capsys.readouterr().err


def test_names_compression_folders_and_archives_are_the_same(tmp_path: Path) -> None:
    usual = datasets.create("mnist", path=str(write(tmp_path / "a")))
    write(tmp_path / "b", packed=False)
    write(tmp_path / "c", packed=False, dot=True)
    write(tmp_path / "d" / "MNIST" / "raw")
    for root in "bcd":
        alike(datasets.create("mnist", path=str(tmp_path / root)), usual)
    alike(datasets.create("mnist", path=str(zipped(tmp_path / "a", tmp_path / "mnist.zip"))), usual)


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\0\0\x08", b"<html>not found</html>",
        idx(labels("train")), idx(images("train"))[:-1], idx(images("train")) + b"0",
        struct.pack(">4I", 0x0803, 2**31, 2**31, 2**31), struct.pack(">4I", 0x0D03, 1, 1, 1) + b"0",
    ],
)  # fmt: skip
@pytest.mark.parametrize("packed", [False, True])
def test_a_file_that_is_something_else_is_refused(tmp_path: Path, content: bytes, packed: bool) -> None:
    file = write(tmp_path / "files", packed=packed) / ("train-images-idx3-ubyte" + ".gz" * packed)
    file.write_bytes(gzip.compress(content) if packed else content)
    refused("mnist", str(file), "not an IDX file of 3 dimensions", path=str(tmp_path / "files"))


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path / "files") / "t10k-images-idx3-ubyte.gz"
    file.write_bytes(file.read_bytes()[:-200])
    refused("mnist", str(file), "not an IDX file", path=str(tmp_path / "files"))


def test_what_does_not_belong_together_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "files", packed=False)
    (folder / "train-labels-idx1-ubyte").write_bytes(idx(labels("t10k")))
    refused("mnist", "12 images and 6 labels", path=str(folder))
    (folder / "train-labels-idx1-ubyte").write_bytes(idx(labels("train") + 9))
    refused("mnist", "labels up to 18 of train", path=str(folder))
    write(folder, packed=False)
    (folder / "t10k-images-idx3-ubyte").write_bytes(idx(images("t10k")[:, :20]))
    refused("mnist", "images of two sizes", path=str(folder))
    (folder / "t10k-images-idx3-ubyte").unlink()
    refused("mnist", "t10k-images-idx3-ubyte or t10k-images-idx3-ubyte.gz is missing", path=str(folder))
    refused("mnist", "found null", path=None)
