"""Your own images: list files, CSVs and class folders, in a folder or an archive."""

from pathlib import Path

import numpy as np
import pytest

from pipeline import datasets
from pipeline.datasets import Dataset
from tests.datasets.making import alike, photo, refused, sound, text, zipped

PHOTOS = ["images/a.jpg", "images/b.png", "images/deep/c.jpg"]
LIST = "images/a.jpg 1 0\nimages/b.png 0 1\nimages/deep/c.jpg 1 1\n"
CSV = "path,label\nimages/a.jpg,cat\nimages/b.png,bus\nimages/deep/c.jpg,cat|bus\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three images, and two files that label them."""
    folder = tmp_path / "photos"
    for seed, name in enumerate(PHOTOS):
        photo(folder / name, seed)
    text(folder / "images.txt", LIST)
    text(folder / "labels.csv", CSV)
    return folder


def opened(root: Path, labels: str | None) -> Dataset:
    return datasets.create("images", path=str(root), labels=labels)


def labelled(root: Path, content: str, *parts: str, name: str = "images.txt") -> None:
    """The file of labels with this content is refused, and the message names the file."""
    text(root / name, content)
    refused("images", str(root / name), *parts, path=str(root), labels=name)


# List files.


def test_a_list_file_gives_paths_and_labels(root: Path, tmp_path: Path) -> None:
    dataset = opened(root, "images.txt")
    assert dataset.ids == PHOTOS
    assert dataset.labels.tolist() == [[1, 0], [0, 1], [1, 1]]
    assert dataset.class_names == ["0", "1"]
    assert dataset.published is None
    data = sound(dataset, "images", tmp_path / "data")
    assert data.manifest["labels_per_image"] == 1.3333


@pytest.mark.parametrize("place", ["lists/classes.txt", "classes.txt"])
def test_classes_are_named_beside_the_list_or_at_the_root(root: Path, place: str) -> None:
    text(root / "lists" / "all.txt", LIST)
    text(root / place, "cat\r\nyellow bus \r\n\r\n")
    assert opened(root, "lists/all.txt").class_names == ["cat", "yellow bus"]


def test_classes_beside_the_list_come_first(root: Path) -> None:
    text(root / "lists" / "all.txt", LIST)
    text(root / "lists" / "classes.txt", "near\nby\n")
    text(root / "classes.txt", "far\naway\n")
    assert opened(root, "lists\\all.txt").class_names == ["near", "by"]


def test_a_list_file_of_another_system_is_read(root: Path) -> None:
    text(root / "windows.txt", "\ufeffimages\\a.jpg  1\t0 \r\n\r\n  images\\b.png 0 1\r\n.\\images\\deep\\c.jpg 1 1")
    alike(opened(root, "windows.txt"), opened(root, "images.txt"))


@pytest.mark.parametrize("labels", ["images.txt", "labels.csv", None])
def test_an_archive_gives_what_its_folder_does(root: Path, tmp_path: Path, labels: str | None) -> None:
    text(root / "classes.txt", "cat\nbus\n")
    photo(root / "others" / "d.bmp", 9)
    archive = zipped(root, tmp_path / "photos.zip")
    alike(opened(root, labels), opened(archive, labels))
    sound(opened(archive, labels), "images", tmp_path / "data")


@pytest.mark.parametrize("path", ["../a.jpg", "images/../../a.jpg", "/etc/a.jpg", "C:\\a.jpg", "\\\\host\\a.jpg"])
def test_a_path_out_of_the_folder_is_refused(root: Path, path: str) -> None:
    labelled(root, f"images/a.jpg 1 0\n\n{path} 1 0\n", "images.txt:3", "leads out")
    labelled(root, f"path,label\nimages/a.jpg,cat\n{path},cat\n", "labels.csv:3", "leads out", name="labels.csv")


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("images/b.png 0", "2 columns of 0 or 1 (as line 1 has), found 1 columns"),
        ("images/b.png 0 1 1", "2 columns of 0 or 1 (as line 1 has), found 3 columns"),
        ("images/my photo.jpg 0 1", "found 3 columns"),
        ("images/b.png 0 2", "expected 0 or 1 after the path, found '2'"),
        ("images/b.png 0 -1", "found '-1'"),
        ("images/b.png 1.0 0", "found '1.0'"),
        ("images/a.jpg 0 1", "images/a.jpg is already on line 1"),
        (".\\images\\a.jpg 0 1", "images/a.jpg is already on line 1"),
    ],
)
def test_a_line_that_is_wrong_is_named(root: Path, line: str, found: str) -> None:
    labelled(root, f"images/a.jpg 1 0\r\n\r\n{line}\r\n", "images.txt:3: ", found)


def test_a_list_must_have_a_column_for_each_class(root: Path) -> None:
    text(root / "classes.txt", "cat\nbus\ndog\n")
    refused("images", "images.txt:1: ", "3 columns", "classes.txt", path=str(root), labels="images.txt")


def test_a_list_without_labels_or_lines_is_refused(root: Path) -> None:
    labelled(root, "images/a.jpg\n", "images.txt:1: ", "some columns", "found 0")
    labelled(root, " \r\n\n", "found no lines")


@pytest.mark.parametrize(
    ("content", "found"), [("", "found no lines"), ("cat\n\ncat\n", "classes.txt:3: 'cat' is already on line 1")]
)
def test_class_names_must_be_there_and_differ(root: Path, content: str, found: str) -> None:
    text(root / "classes.txt", content)
    refused("images", "classes.txt", found, path=str(root), labels="images.txt")


def test_missing_images_are_counted_and_ten_are_named(root: Path) -> None:
    gone = "".join(f"images/gone{number:04}.jpg 0 1\n" for number in range(1200))
    parts = "1,200 of 1,203 images are missing", "images/gone0009.jpg, ...;", "docs/datasets.md"
    text(root / "images.txt", LIST + gone)
    for path in (root, zipped(root, root.parent / "photos.zip")):
        refused("images", str(path), *parts, path=str(path), labels="images.txt")


@pytest.mark.parametrize("labels", ["nowhere.txt", "nowhere.csv"])
def test_a_missing_file_of_labels_is_named(root: Path, labels: str) -> None:
    refused("images", str(root / labels), "not found", path=str(root), labels=labels)


def test_labels_outside_the_folder_are_refused(root: Path) -> None:
    for labels in ("../images.txt", "/tmp/labels.csv"):
        refused("images", "dataset.labels", "leads out", path=str(root), labels=labels)


# CSVs.


def test_a_csv_gives_paths_and_sorted_classes(root: Path, tmp_path: Path) -> None:
    dataset = opened(root, "labels.csv")
    assert dataset.ids == PHOTOS
    assert dataset.class_names == ["bus", "cat"]
    assert dataset.labels.tolist() == [[0, 1], [1, 0], [1, 1]]
    sound(dataset, "images", tmp_path / "data")


def test_a_csv_may_have_other_columns_quotes_and_no_label(root: Path) -> None:
    photo(root / "images" / "d, e.jpg", 4)
    content = (
        '\ufeffid, label ,path\r\n1,cat; yellow bus;,images\\a.jpg\r\n\r\n,,\r\n2,"dog|cat",images/b.png\r\n'
        '3,,"images/d, e.jpg"\r\n'
    )
    text(root / "Mine.CSV", content)
    dataset = opened(root, "Mine.CSV")
    assert dataset.ids == ["images/a.jpg", "images/b.png", "images/d, e.jpg"]
    assert dataset.class_names == ["cat", "dog", "yellow bus"]
    assert dataset.labels.tolist() == [[1, 0, 1], [1, 1, 0], [0, 0, 0]]


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("file,label\nimages/a.jpg,cat\n", ("labels.csv:1: ", "path and label", "found file, label")),
        ("path;label\nimages/a.jpg;cat\n", ("labels.csv:1: ", "separated by commas", "found path;label")),
        ("path,label,label\n", ("labels.csv:1: ", "found path, label, label")),
        ("path,label\n\nimages/a.jpg\n", ("labels.csv:3: expected 2 columns", "found 1")),
        ("path,label\nimages/a.jpg,cat,dog\n", ("labels.csv:2: expected 2 columns", "found 3")),
        ("path,label\nimages/a.jpg,cat\n.\\images\\a.jpg,dog\n", ("labels.csv:3: ", "already on line 2")),
        ('path,label\nimages/a.jpg,"cat\n', ("labels.csv:2: not a CSV file",)),
        ("path,label\nimages/a.jpg,\n", ("no image has a label", "'label'")),
        ("path,label\n", ("found no lines",)),
        ("", ("found no lines",)),
        ("path,label\nimages/gone.jpg,cat\n", ("1 of 1 images are missing: images/gone.jpg",)),
    ],
)
def test_a_csv_that_is_wrong_is_refused(root: Path, content: str, parts: tuple[str, ...]) -> None:
    text(root / "labels.csv", content)
    refused("images", *parts, path=str(root), labels="labels.csv")


def test_a_file_of_labels_that_is_not_text_is_refused(root: Path) -> None:
    for name in ("images.txt", "labels.csv"):
        (root / name).write_bytes(b"path,label\n\xff\xfe\n")
        refused("images", name, "not UTF-8", path=str(root), labels=name)


# Class folders.


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for seed, name in enumerate(["dog/1.JPG", "cat/2.png", "cat/deep/er/3.webp", "a cow/4.jpeg"]):
        photo(tmp_path / "tree" / name, seed)
    text(tmp_path / "tree" / "notes.txt", "not an image")
    text(tmp_path / "tree" / "empty" / "notes.txt", "not a class")
    photo(tmp_path / "tree" / ".hidden" / "5.jpg", 5)
    return tmp_path / "tree"


def test_class_folders_are_the_classes(tree: Path, tmp_path: Path) -> None:
    dataset = opened(tree, None)
    assert dataset.class_names == ["a cow", "cat", "dog"]
    assert dataset.ids == ["a cow/4.jpeg", "cat/2.png", "cat/deep/er/3.webp", "dog/1.JPG"]
    assert np.array_equal(dataset.labels, np.eye(3)[[0, 1, 1, 2]])
    sound(dataset, "images", tmp_path / "data")


def test_an_image_in_no_class_folder_is_refused(tree: Path) -> None:
    photo(tree / "stray.jpg", 6)
    refused("images", "1 of 5 images", str(tree), "stray.jpg", "dataset.labels", path=str(tree), labels=None)


def test_one_class_folder_is_not_enough(root: Path) -> None:
    refused("images", "one class folder (images)", "dataset.labels", path=str(root), labels=None)


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    refused("images", "no images (.jpg", str(tmp_path), path=str(tmp_path), labels=None)


def test_a_path_is_needed_and_must_be_a_folder_or_an_archive(root: Path) -> None:
    refused("images", "dataset.path", "found null", path=None, labels=None)
    refused("images", "dataset.path", "not found", path=str(root / "nowhere"), labels=None)
    refused("images", "neither a folder nor a zip", path=str(root / "images" / "a.jpg"), labels=None)
