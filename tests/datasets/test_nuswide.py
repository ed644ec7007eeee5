"""NUS-WIDE's official files, with their quirks, and lists of ``path y1 ... yC`` lines."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from pipeline import datasets
from pipeline.datasets import Dataset
from tests.datasets.making import alike, photo, refused, sound, text, zipped

CONCEPTS = [f"concept{number:02}" for number in range(80)] + ["zebra"]
NAMES = [f"actor\\000{number}_{2124494179 + number}.jpg" for number in range(4)] + [
    "zebra\\0001_77.jpg",
    "sky\\2_8.jpg",
]
PUBLISHED = {"nuswide81": 209_347, "nuswide21": 195_834}
BOTH = pytest.mark.parametrize("name", list(PUBLISHED))


def truth() -> npt.NDArray[np.uint8]:
    """(6, 81): zebra thrice, concepts 40 to 58 twice, then 3 and others once; the fourth photograph has none."""
    labels = np.zeros((6, 81), np.uint8)
    labels[[0, 1, 4], 80] = 1
    labels[0:2, 40:59] = 1
    labels[2, [3, 7, 60]] = 1
    labels[5, 60] = 1
    return labels


def listed(file: Path, names: list[str], labels: npt.NDArray[np.uint8]) -> None:
    rows = (" ".join([name, *map(str, row)]) for name, row in zip(names, labels.tolist(), strict=True))
    text(file, "".join(f"{row}\r\n" for row in rows))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folders as the archives unpack: Windows separators and ends of lines, trailing blanks."""
    folder = tmp_path / "nuswide"
    text(folder / "ImageList" / "Imagelist.txt", "".join(f"{name}\r\n" for name in NAMES))
    text(folder / "ConceptsList" / "Concepts81.txt", "".join(f"{concept} \r\n" for concept in CONCEPTS) + "\r\n")
    for concept, column in zip(CONCEPTS, truth().T.tolist(), strict=True):
        lines = "".join(f"{value} \n" for value in column) + " \n"
        text(folder / "Groundtruth" / "AllLabels" / f"Labels_{concept}.txt", lines)
    for seed, name in enumerate(NAMES):
        photo(folder / "Flickr" / name.replace("\\", "/"), seed)
    return folder


def opened(name: str, root: Path, labels: str | None = None) -> Dataset:
    return datasets.create(name, path=str(root), labels=labels)


@BOTH
def test_the_published_count_is_stated(name: str, root: Path) -> None:
    assert opened(name, root).published == PUBLISHED[name]


def test_all_concepts_and_the_photographs_with_any(root: Path, tmp_path: Path) -> None:
    dataset = opened("nuswide81", root)
    assert dataset.class_names == CONCEPTS
    kept = [0, 1, 2, 4, 5]
    assert np.array_equal(dataset.labels, truth()[kept])
    assert dataset.ids == [f"Flickr/{NAMES[row]}".replace("\\", "/") for row in kept]
    assert sound(dataset, "nuswide81", tmp_path / "data").manifest["unlabelled"] == 0


def test_the_most_frequent_concepts_in_the_lists_order(root: Path, tmp_path: Path) -> None:
    """Zebra thrice, nineteen concepts and number 60 twice: no room for those that occur once."""
    dataset = opened("nuswide21", root)
    assert dataset.class_names == [*CONCEPTS[40:59], CONCEPTS[60], "zebra"]
    assert np.array_equal(dataset.labels, truth()[[0, 1, 2, 4, 5]][:, [*range(40, 59), 60, 80]])
    sound(dataset, "nuswide21", tmp_path / "data")


def test_a_tie_goes_to_the_concept_that_the_list_names_first(root: Path) -> None:
    text(root / "Groundtruth" / "AllLabels" / f"Labels_{CONCEPTS[60]}.txt", "0\n" * 6)
    dataset = opened("nuswide21", root)
    # Numbers 3 and 7 occur once each, on the third photograph.
    assert dataset.class_names == [CONCEPTS[3], *CONCEPTS[40:59], "zebra"]
    assert len(dataset.ids) == 4


@BOTH
def test_photographs_whose_labels_do_not_count_need_not_be_there(name: str, root: Path) -> None:
    (root / "Flickr" / NAMES[3].replace("\\", "/")).unlink()
    assert len(opened(name, root).ids) == 5


@BOTH
def test_an_archive_gives_what_its_folder_does(name: str, root: Path, tmp_path: Path) -> None:
    alike(opened(name, root), opened(name, zipped(root, tmp_path / "nuswide.zip")))


def test_other_count_is_a_warning_with_both_numbers(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sound(opened("nuswide21", root), "nuswide21", tmp_path / "data")
    assert "nuswide21 was published with 195,834 images, 5 were found" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Flickr", "images"),
        ("Groundtruth/AllLabels", "AllLabels"),
        ("Groundtruth/AllLabels", "labels"),
        ("ImageList/Imagelist.txt", "Imagelist.txt"),
        ("ConceptsList/Concepts81.txt", "Concepts81.txt"),
    ],
)
def test_what_the_archives_may_unpack_to_is_found(root: Path, old: str, new: str) -> None:
    whole = opened("nuswide81", root)
    (root / old).rename(root / new)
    if new == "labels":
        refused("nuswide81", "81 of 81 files of labels are missing", "Labels_concept00.txt", path=str(root))
        (root / "labels").rename(root / "AllLabels")
    moved = opened("nuswide81", root)
    assert np.array_equal(moved.labels, whole.labels)
    assert moved.ids == [name.replace("Flickr/", f"{new}/") if old == "Flickr" else name for name in whole.ids]


@BOTH
def test_missing_photographs_are_counted_named_and_explained(name: str, root: Path) -> None:
    for place in (1, 4):
        (root / "Flickr" / NAMES[place].replace("\\", "/")).unlink()
    named = "2 of 5 photographs are missing: Flickr/actor/0001_2124494180.jpg, Flickr/zebra/0001_77.jpg;"
    refused(name, str(root), named, "can't be downloaded", "docs/datasets.md", path=str(root))


@pytest.mark.parametrize(
    ("file", "content", "parts"),
    [
        ("Groundtruth/AllLabels/Labels_zebra.txt", "1\n" * 5, ("5 labels", "names 6 photographs")),
        ("Groundtruth/AllLabels/Labels_zebra.txt", "1\n\n0 \n2 \n1\n", ("Labels_zebra.txt:4: ", "found '2'")),
        ("Groundtruth/AllLabels/Labels_zebra.txt", "1\n0 x\n", ("Labels_zebra.txt:2: ", "found '0 x'")),
        ("ImageList/Imagelist.txt", "actor\\1.jpg\r\n..\\2.jpg\r\n", ("Imagelist.txt:2: ", "leads out")),
        ("ConceptsList/Concepts81.txt", "sky\nsky\n", ("Concepts81.txt:2: ", "already on line 1")),
        ("ConceptsList/Concepts81.txt", "sky\nsun\n", ("Concepts81.txt: ", "expected 81", "found 2")),
    ],
)
def test_an_official_file_that_is_wrong_is_named(root: Path, file: str, content: str, parts: tuple[str, ...]) -> None:
    text(root / file, content)
    refused("nuswide81", str(root / file), *parts, path=str(root))


def test_a_missing_official_file_is_named(root: Path) -> None:
    (root / "Groundtruth" / "AllLabels" / "Labels_zebra.txt").unlink()
    refused("nuswide21", "1 of 81 files of labels are missing", "Labels_zebra.txt", "docs/datasets.md", path=str(root))
    for place in ("ImageList/Imagelist.txt", "ConceptsList/Concepts81.txt"):
        (root / place).unlink()
        refused("nuswide21", str(root / place), "not found", "docs/datasets.md", path=str(root))
    refused("nuswide21", "dataset.path", "found null", path=None)


def test_no_photograph_with_a_concept_is_refused(root: Path) -> None:
    listed(root / "none.txt", NAMES, np.zeros((6, 21), np.uint8))
    refused("nuswide21", "no photograph has any of the 21", path=str(root), labels="none.txt")


# Lists in place of the official files.


def test_a_list_gives_what_the_official_files_do(root: Path) -> None:
    listed(root / "lists" / "all.txt", NAMES, truth())
    alike(opened("nuswide81", root, "lists/all.txt"), opened("nuswide81", root))


def test_a_list_may_name_photographs_from_the_root(root: Path, tmp_path: Path) -> None:
    listed(root / "all.txt", [f"Flickr/{name}" for name in NAMES], truth()[:, 60:81])
    dataset = opened("nuswide21", root, "all.txt")
    assert dataset.ids == [f"Flickr/{NAMES[row]}".replace("\\", "/") for row in (0, 1, 2, 4, 5)]
    assert dataset.class_names == [str(number) for number in range(21)]
    sound(dataset, "nuswide21", tmp_path / "data")


def test_a_lists_classes_are_named_by_classes_txt(root: Path) -> None:
    listed(root / "all.txt", NAMES, truth()[:, 60:81])
    text(root / "classes.txt", "".join(f"{name}\n" for name in CONCEPTS[60:]))
    assert opened("nuswide21", root, "all.txt").class_names == CONCEPTS[60:]
    text(root / "classes.txt", "cat\n")
    refused("nuswide21", "classes.txt names 1 classes; expected 21", path=str(root), labels="all.txt")


@pytest.mark.parametrize(("name", "has", "wants"), [("nuswide81", 21, 81), ("nuswide21", 81, 21)])
def test_a_list_of_the_other_number_of_concepts_is_refused(root: Path, name: str, has: int, wants: int) -> None:
    listed(root / "all.txt", NAMES, truth()[:, :has])
    refused(name, "all.txt:1: ", f"{wants} columns", f"found {has}", path=str(root), labels="all.txt")
