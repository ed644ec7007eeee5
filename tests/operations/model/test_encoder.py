"""``Encoder``: pictures to codes, and what it says of pictures, arrays and folders that it can't use."""

import io
import json
import shutil
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.codes import pack, sign
from pipeline.encoding.encode import outputs
from pipeline.operations.model import encoder as encoders
from pipeline.operations.model.encoder import Encoder
from pipeline.preparation.square import LARGEST, square
from pipeline.runtime.errors import UserError
from tests.messages import one_line
from tests.operations.model.making import CPU, of_images, of_vectors

RANDOM = np.random.default_rng(0)


def photo(width: int, height: int, kind: str = "JPEG", **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(RANDOM.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(stream, kind, **options)
    return stream.getvalue()


def turned() -> bytes:
    """A photo on its side: EXIF says that it has to be rotated."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return photo(60, 40, exif=exif)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    of_images(tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize("picture", [turned(), photo(40, 60, "PNG"), photo(8, 8, "BMP")])
def test_pictures_become_what_prepare_makes_of_them(picture: bytes, folder: Path, tmp_path: Path) -> None:
    encoder, file = Encoder.load(folder, "cpu"), tmp_path / "picture"
    file.write_bytes(picture)
    expected = square(Image.open(file), 8)
    for given in (picture, file):
        found = encoder.pixels(given)
        assert found.dtype == np.uint8 and np.array_equal(found, expected)
        assert np.array_equal(encoder.codes([given]), encoder.codes_of(expected[None]))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_codes_are_those_of_the_network_in_its_precision(precision: str, tmp_path: Path) -> None:
    network, images = (
        of_images(tmp_path, precision=precision, bits=12),
        RANDOM.integers(0, 256, (50, 8, 8, 3), np.uint8),
    )
    encoder = Encoder.load(tmp_path, "cpu")
    assert (encoder.network.compute, encoder.image_size, encoder.code_length) == (network.compute, 8, 12)
    expected = outputs(network, images, np.arange(50), CPU).numpy()
    assert np.array_equal(encoder.outputs_of(images), expected)
    assert np.array_equal(encoder.codes_of(images), pack(sign(expected)))


def test_codes_of_vectors(tmp_path: Path) -> None:
    network, vectors = of_vectors(tmp_path, hidden=[8]), RANDOM.normal(size=(5, 24)).astype(np.float32)
    encoder = Encoder.load(tmp_path, "cpu")
    assert encoder.image_size is None
    expected = outputs(network, vectors, np.arange(5), CPU).numpy()
    assert np.array_equal(encoder.codes_of(vectors), pack(sign(expected)))
    for call in (encoder.codes, lambda pictures: encoder.pixels(pictures[0])):
        with pytest.raises(UserError, match=r"reads vectors \(n, 24\) float32, not pictures; use codes_of"):
            call([photo(8, 8)])
    vectors[3, 2] = np.nan
    with pytest.raises(UserError, match="vector 3 has a value that is not finite"):
        encoder.codes_of(vectors)


class Counted(list[bytes]):
    """Notes how many pictures are asked for at a time."""

    asked: list[int]

    def __getitem__(self, part: Any) -> Any:
        found = super().__getitem__(part)
        self.asked.append(len(found))
        return found


def test_any_number_of_pictures_takes_bounded_memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures, encoder = Counted(photo(12, 9) for _ in range(10)), Encoder.load(folder, "cpu")
    whole = encoder.codes_of(np.stack([encoder.pixels(picture) for picture in pictures]))
    monkeypatch.setattr(encoders, "BYTES", 4 * 8 * 8 * 3)
    pictures.asked = []
    assert np.array_equal(encoder.codes(pictures), whole)
    assert pictures.asked == [4, 4, 2]
    assert encoder.codes([]).shape == encoder.codes_of(np.empty((0, 8, 8, 3), np.uint8)).shape == (0, 2)


def large() -> bytes:
    """A PNG whose header claims more pixels than are decoded."""
    picture = bytearray(photo(8, 8, "PNG"))
    picture[16:24] = LARGEST.to_bytes(4, "big") + (2).to_bytes(4, "big")
    picture[29:33] = zlib.crc32(picture[12:29]).to_bytes(4, "big")
    return bytes(picture)


@pytest.mark.parametrize(
    ("picture", "words"),
    [
        (b"not a picture", ("pictures[1]: ", "not an image of a known kind; expected an image file (BMP, GIF, JPEG")),
        (b"", ("pictures[1]: ", "not an image")),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", ("pictures[1]: ", "not an image")),
        (photo(30, 20)[:300], ("pictures[1]: ", "truncated")),
        (large(), ("pictures[1]: ", "100,000,000 x 2 pixels; from 1 to 100,000,000 in all are decoded")),
        (Path("nowhere.jpg"), ("nowhere.jpg: ", "No such file")),
        ("nowhere.jpg", ("pictures[1]: ", "expected the bytes or the path of an image file, found str")),
        (None, ("pictures[1]: ", "found NoneType")),
    ],
)
def test_a_picture_that_cannot_be_read_is_one_line(picture: Any, words: tuple[str, ...], folder: Path) -> None:
    encoder = Encoder.load(folder, "cpu")
    with pytest.raises(UserError) as error:
        encoder.codes([photo(8, 8), picture])
    one_line(error, *words)


@pytest.mark.parametrize("images", [np.zeros((2, 16, 16, 3), np.uint8), np.zeros((2, 8, 8, 3)), np.zeros(3, np.uint8)])
def test_arrays_that_the_network_was_not_made_for_are_one_line(images: Any, folder: Path) -> None:
    with pytest.raises(UserError, match="expected images as uint8 of shape") as error:
        Encoder.load(folder, "cpu").codes_of(images)
    one_line(error)


def _without_weights(folder: Path) -> None:
    (folder / "weights.safetensors").unlink()


def _cut_short(folder: Path) -> None:
    file = folder / "weights.safetensors"
    file.write_bytes(file.read_bytes()[:-50])


def _of_another_network(folder: Path) -> None:
    of_images(folder.parent / "other", bits=12)
    shutil.copy(folder.parent / "other" / "weights.safetensors", folder)


def _without_a_key(folder: Path) -> None:
    about = json.loads((folder / "about.json").read_text())
    del about["precision"]
    (folder / "about.json").write_text(json.dumps(about))


def _no_json(folder: Path) -> None:
    (folder / "about.json").write_text("{")


@pytest.mark.parametrize(
    "spoil", [shutil.rmtree, _without_weights, _cut_short, _of_another_network, _without_a_key, _no_json]
)
def test_a_folder_without_a_network_is_one_line(spoil: Any, folder: Path) -> None:
    spoil(folder)
    with pytest.raises(UserError, match="expected a network's about.json and weights.safetensors") as error:
        Encoder.load(folder, "cpu")
    one_line(error, str(folder))


@pytest.mark.parametrize(
    ("device", "words"),
    [
        ("gpu", "expected one of auto, cpu, cuda, found 'gpu'"),
        pytest.param(
            "cuda",
            "not available",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device"),
        ),
    ],
)
def test_a_device_that_is_not_there_is_one_line(device: Any, words: str, folder: Path) -> None:
    with pytest.raises(UserError, match=words) as error:
        Encoder.load(folder, device)
    one_line(error)
