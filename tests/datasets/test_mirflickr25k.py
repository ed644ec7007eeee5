"""MIRFLICKR-25K: 24 and 38 labels, where its files lie, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from pipeline import datasets
from tests.datasets.making import alike, photo, refused, sound, text, zipped

#: Photographs of each label; image 7 has none.
LABELS = {"animals": [1, 2, 10], "baby": [2, 3], "baby_r1": [3], "clouds": [4, 5, 6, 8], "clouds_r1": [5], "sea": [9]}


@pytest.fixture
def published(tmp_path: Path) -> Path:
    root = tmp_path / "mir"
    for number in range(1, 11):
        photo(root / "mirflickr" / f"im{number}.jpg", number)
    for name, numbers in LABELS.items():
        text(root / "mirflickr25k_annotations_v080" / f"{name}.txt", "".join(f"{number}\r\n" for number in numbers))
    text(root / "mirflickr25k_annotations_v080" / "README.txt", "1 2 3")
    return root


@pytest.mark.parametrize("relevant", [False, True])
def test_labels_are_those_of_the_annotations(published: Path, tmp_path: Path, relevant: bool) -> None:
    dataset = datasets.create("mirflickr25k", path=str(published), relevant=relevant)
    names = [name for name in LABELS if relevant or not name.endswith("_r1")]
    assert dataset.class_names == names
    assert dataset.ids == [f"mirflickr/im{number}.jpg" for number in range(1, 11)], "in the order of their numbers"
    for column, name in enumerate(names):
        assert (np.flatnonzero(dataset.labels[:, column]) + 1).tolist() == LABELS[name]
    assert not dataset.labels[6].any()
    sound(dataset, "mirflickr25k", tmp_path / "data")


def test_files_may_lie_elsewhere_or_in_an_archive(published: Path, tmp_path: Path) -> None:
    usual = datasets.create("mirflickr25k", path=str(published))
    alike(datasets.create("mirflickr25k", path=str(zipped(published, tmp_path / "mir.zip"))), usual)
    (published / "mirflickr25k_annotations_v080").rename(published / "annotations")
    alike(datasets.create("mirflickr25k", path=str(published)), usual)


def test_what_is_missing_or_wrong_is_one_line(published: Path) -> None:
    file = published / "mirflickr25k_annotations_v080" / "sea.txt"
    for line in ("11", "0", "nine", "im9.jpg"):
        text(file, f"9\n{line}\n")
        refused(
            "mirflickr25k", f"{file}:2: expected the number of one of 10 images; found {line!r}", path=str(published)
        )
    for other in file.parent.iterdir():
        other.unlink()
    refused("mirflickr25k", "no annotations such as animals.txt", path=str(published))
    for image in (published / "mirflickr").iterdir():
        image.unlink()
    refused("mirflickr25k", "no im1.jpg", path=str(published))
