"""PASCAL VOC 2012: labels of the class lists, hard objects, where its files lie, and what is refused."""

from pathlib import Path

import pytest

from pipeline import datasets
from pipeline.datasets.voc2012 import CLASSES
from tests.datasets.making import alike, photo, refused, sound, text, zipped

#: Classes of each image, and those of which only objects that are hard to see are there.
IMAGES: dict[str, tuple[set[str], set[str]]] = {
    "2008_000002": ({"person", "dog"}, set()),
    "2008_000003": ({"train"}, {"person"}),
    "2008_000007": (set(), {"boat"}),
    "2011_000001": ({"cat"}, set()),
    "2012_004331": ({"tvmonitor", "chair"}, {"sofa"}),
}


@pytest.fixture
def published(tmp_path: Path) -> Path:
    root = tmp_path / "voc" / "VOCdevkit" / "VOC2012"
    for seed, name in enumerate(IMAGES):
        photo(root / "JPEGImages" / f"{name}.jpg", seed)
    photo(root / "JPEGImages" / "2012_009999.jpg", 99)  # of another task
    text(root / "ImageSets/Main/trainval.txt", "".join(f"{name}\n" for name in IMAGES))
    for one in CLASSES:
        lines = [f"{name} {1 if one in own else 0 if one in hard else -1:>2}\n" for name, (own, hard) in IMAGES.items()]
        text(root / f"ImageSets/Main/{one}_trainval.txt", "".join(lines))
    return tmp_path / "voc"


def test_labels_are_those_of_the_lists(published: Path, tmp_path: Path) -> None:
    dataset = datasets.create("voc2012", path=str(published))
    assert dataset.class_names == CLASSES and len(CLASSES) == 20
    found = {
        name.rpartition("/")[2].removesuffix(".jpg"): {
            one for one, is_there in zip(CLASSES, row, strict=True) if is_there
        }
        for name, row in zip(dataset.ids, dataset.labels, strict=True)
    }
    assert found == {name: own for name, (own, _) in IMAGES.items() if own}
    sound(dataset, "voc2012", tmp_path / "data")


@pytest.mark.parametrize("root", ["VOCdevkit", "VOCdevkit/VOC2012"])
def test_the_path_may_be_a_folder_below(published: Path, tmp_path: Path, root: str) -> None:
    below = datasets.create("voc2012", path=str(published / root))
    usual = datasets.create("voc2012", path=str(published))
    assert [name.rpartition("/")[2] for name in below.ids] == [name.rpartition("/")[2] for name in usual.ids]
    alike(datasets.create("voc2012", path=str(zipped(published, tmp_path / "voc.zip"))), usual)


def test_what_is_missing_or_wrong_is_one_line(published: Path) -> None:
    root = published / "VOCdevkit/VOC2012"
    file = root / "ImageSets/Main/cow_trainval.txt"
    before = file.read_text()
    for line in ("2008_000002 2", "2008_000002", "../2008_000002 1", "a b 1"):
        text(file, f"2008_000003 -1\n{line}\n")
        refused("voc2012", f"{file}:2: expected an image's name and 1, 0 or -1", path=str(published))
    text(file, before)
    (root / "JPEGImages/2011_000001.jpg").unlink()
    refused("voc2012", "1 of 4 images are missing", "2011_000001.jpg", path=str(published))
    file.unlink()
    refused("voc2012", "1 of 20 lists of classes are missing", path=str(published))
    (root / "ImageSets/Main/trainval.txt").unlink()
    refused("voc2012", "no ImageSets/Main/trainval.txt", path=str(published))
