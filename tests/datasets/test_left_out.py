"""What users' folders and archives hold beside images: named, counted or refused, never dropped without a word."""

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, features

from pipeline import datasets
from pipeline.preparation import arrays
from pipeline.preparation.square import square
from tests.datasets.making import alike, photo, refused, text, zipped


def opened(root: Path, labels: str | None = None) -> Any:
    return datasets.create("images", path=str(root), labels=labels)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number in range(6):
        photo(tmp_path / "raw" / ("cat", "dog")[number % 2] / f"{number}.png", number)
    return tmp_path / "raw"


def test_a_class_folder_that_is_a_link_is_followed(root: Path, tmp_path: Path) -> None:
    photo(tmp_path / "elsewhere" / "a.png", 9)
    (root / "cow").symlink_to(tmp_path / "elsewhere")
    assert opened(root).ids == [
        "cat/0.png",
        "cat/2.png",
        "cat/4.png",
        "cow/a.png",
        "dog/1.png",
        "dog/3.png",
        "dog/5.png",
    ]


def test_links_in_a_circle_end(root: Path) -> None:
    (root / "cat" / "up").symlink_to(root)
    assert len(opened(root).ids) == 6


def test_prepare_says_what_it_found_and_what_it_left_out(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "cat" / "7.heic").write_bytes(b"x")
    (root / "cat" / "8.HEIC").write_bytes(b"x")
    text(root / "notes.txt", "x")
    (root / "empty").mkdir()
    (root / "dog" / "broken.png").write_bytes(b"x")
    (tmp_path / "data").mkdir()
    arrays.write(opened(root), "images", tmp_path / "data", image_size=8, on_bad_image="skip")
    assert capsys.readouterr().out.splitlines() == [
        "images: 6 images, 2 classes",
        "images a class: 3 (cat) to 3 (dog)",
        "left out: .heic: not a kind of image that is read (2)",
        "left out: .txt: not a kind of image that is read (1)",
        "left out: class folder empty: no image in it that is read (1)",
        "left out: images that can't be read, see skipped.txt (1)",
    ]
    manifest = json.loads((tmp_path / "data" / "manifest.json").read_text())
    assert list(manifest["left_out"].values()) == [2, 1, 1, 1]


def test_images_that_no_line_names_are_counted(root: Path) -> None:
    text(root / "labels.csv", "path,label\ncat/0.png,cat\ndog/1.png,dog\n")
    assert opened(root, "labels.csv").left_out == {"images that the file of labels doesn't name": 4}


@pytest.mark.parametrize("name", ["@eaDir", "__MACOSX", "#recycle", ".hidden"])
def test_folders_of_storage_boxes_are_no_classes(root: Path, tmp_path: Path, name: str) -> None:
    photo(root / name / "x.png", 1)
    photo(root / "cat" / name / "y.png", 1)
    (root / "cat" / "Thumbs.db").write_bytes(b"x")
    for place in (root, zipped(root, tmp_path / "raw.zip")):
        found = opened(place)
        assert found.class_names == ["cat", "dog"] and len(found.ids) == 6
        assert found.left_out == {}


def test_suffixes_of_kinds_that_are_read(root: Path) -> None:
    Image.open(root / "cat" / "0.png").save(root / "cat" / "a.jfif", "JPEG")
    if features.check("avif"):
        Image.open(root / "cat" / "0.png").save(root / "cat" / "b.avif", "AVIF")
    found = opened(root)
    row = found.ids.index("cat/a.jfif")
    assert square(found.image(row), 8).shape == (8, 8, 3)
    if features.check("avif"):
        assert square(found.image(found.ids.index("cat/b.avif")), 8).shape == (8, 8, 3)


@pytest.mark.parametrize("spelled", ["{}\\{}", "./{}/{}", "{}//{}", ".\\{}\\{}"])
def test_an_archive_of_any_archiver_is_its_folder(root: Path, tmp_path: Path, spelled: str) -> None:
    archive = tmp_path / "raw.zip"
    with zipfile.ZipFile(archive, "w") as target:
        for file in sorted(root.rglob("*.png")):
            target.writestr(zipfile.ZipInfo(spelled.format(file.parent.name, file.name)), file.read_bytes())
    names = zipfile.ZipFile(archive).namelist()
    assert all("\\" in name or "//" in name or name.startswith("./") for name in names)
    alike(opened(archive), opened(root))
    text(root / "all.csv", "path,label\ncat/0.png,cat\ndog/1.png,dog\n")
    with zipfile.ZipFile(archive, "a") as target:
        target.write(root / "all.csv", "all.csv")
    assert opened(archive, "all.csv").ids == ["cat/0.png", "dog/1.png"]


@pytest.mark.parametrize("again", ["cat/0.png", "./cat/0.png", "cat\\0.png"])
def test_a_member_twice_is_refused(root: Path, tmp_path: Path, again: str) -> None:
    archive = zipped(root, tmp_path / "raw.zip")
    with pytest.warns(UserWarning) if again == "cat/0.png" else _nothing(), zipfile.ZipFile(archive, "a") as target:
        target.write(root / "cat" / "0.png", again)
    refused("images", "holds cat/0.png twice", path=str(archive))


def _nothing() -> Any:
    from contextlib import nullcontext

    return nullcontext()


def test_one_class_is_refused_in_every_form(root: Path, tmp_path: Path) -> None:
    text(root / "index.txt", "cat/0.png 0\ndog/1.png 1\n")
    refused("images", "index.txt:1", "at least two classes", "CSV", path=str(root), labels="index.txt")
    text(root / "seven.txt", "cat/0.png 7\ndog/1.png 1\n")
    refused("images", "seven.txt:1", "at least two classes", "7 is the number", path=str(root), labels="seven.txt")
    text(root / "one.csv", "path,label\ncat/0.png,pet\ndog/1.png,pet\n")
    refused("images", "one.csv", "one class (pet)", path=str(root), labels="one.csv")
    photo(tmp_path / "alone" / "cat" / "a.png", 1)
    refused("images", "one class folder (cat)", path=str(tmp_path / "alone"))


@pytest.mark.parametrize("name", ["a\nb.png", "a\rb.png", "a\u2028b.png"])
def test_a_line_break_in_a_name_is_refused(root: Path, name: str) -> None:
    photo(root / "cat" / "x.png", 1)
    (root / "cat" / "x.png").rename(root / "cat" / name)
    refused("images", "line break", "rename it", path=str(root))


def test_a_name_that_is_not_utf8_is_refused(root: Path) -> None:
    os.rename(root / "cat" / "0.png", os.path.join(os.fsencode(root), b"cat", b"caf\xe9.png"))
    refused("images", "isn't UTF-8", "caf\\xe9.png", path=str(root))


# Pixels that aren't 8 bits.


def reopened(image: Image.Image, file: Path) -> Image.Image:
    image.save(file)
    return Image.open(file)


@pytest.mark.parametrize("top", [1.0, 255.0, 65535.0])
def test_floating_point_pixels_keep_their_brightness(tmp_path: Path, top: float) -> None:
    values = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    file = reopened(Image.fromarray(values * np.float32(top)), tmp_path / "a.tif")
    assert file.mode == "F"
    assert np.array_equal(square(file, 8)[..., 1], np.round(values * 255).astype(np.uint8))


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), 1e6])
def test_floating_point_pixels_without_a_scale_are_refused(tmp_path: Path, wrong: float) -> None:
    values = np.full((8, 8), wrong, np.float32)
    with pytest.raises(ValueError, match="floating-point"):
        square(reopened(Image.fromarray(values), tmp_path / "a.tif"), 8)


@pytest.mark.parametrize("kind", ["tif", "png"])
def test_twelve_bits_in_sixteen_keep_their_brightness(tmp_path: Path, kind: str) -> None:
    values = np.linspace(0, 4095, 64).astype(np.uint16).reshape(8, 8)
    found = square(reopened(Image.fromarray(values), tmp_path / f"a.{kind}"), 8)
    assert np.array_equal(found[..., 0], values >> 4)


def test_a_file_of_twelve_bits_is_as_dark_as_it_is(tmp_path: Path) -> None:
    """A dark image, whose values would fit in fewer bits."""
    import struct

    values = np.linspace(0, 200, 64).astype(np.uint16).reshape(8, 8)
    pairs = values.reshape(-1, 2).tolist()
    data = b"".join(bytes([x >> 4, (x & 15) << 4 | y >> 8, y & 255]) for x, y in pairs)
    tags = [(256, 8), (257, 8), (258, 12), (259, 1), (262, 1), (273, 8), (277, 1), (278, 8), (279, len(data))]
    header = b"II*\0" + struct.pack("<I", 8 + len(data)) + data + struct.pack("<H", len(tags))
    (tmp_path / "a.tif").write_bytes(
        header + b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags) + bytes(4)
    )
    file = Image.open(tmp_path / "a.tif")
    assert np.array_equal(np.asarray(file), values)
    assert np.array_equal(square(file, 8)[..., 0], values >> 4)
