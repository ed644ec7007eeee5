"""COCO's annotations as published, with gaps in the ids, crowds, and images without annotations."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline import datasets
from pipeline.datasets import Dataset
from tests.datasets.making import alike, photo, refused, sound, text, zipped

TRAIN, VAL = (f"annotations/instances_{part}2017.json" for part in ("train", "val"))
# Not in the order of their ids, which have gaps.
CATEGORIES = [(90, "toothbrush", "indoor"), (1, "person", "person"), (13, "stop sign", "outdoor")]
# Image id: its categories.
IMAGES: dict[str, dict[int, list[int]]] = {
    "train2017": {9: [1, 1, 13], 581929: [90], 25: []},
    "val2017": {139: [90, 1], 285: []},
}


def annotation(number: int, image: int, category: int) -> dict[str, Any]:
    crowd = number % 2
    outline: Any = {"counts": [272, 2, 4], "size": [20, 24]} if crowd else [[1.5, 2.25, 3.0, 4.0, 5.5, 6.0]]
    return {
        "segmentation": outline, "area": 12.5, "iscrowd": crowd, "image_id": image, "bbox": [1.5, 2.0, 3.5, 4.25],
        "category_id": category, "id": 900100 + number,
    }  # fmt: skip


def instances(images: dict[int, list[int]]) -> dict[str, Any]:
    pairs = [(image, category) for image, categories in images.items() for category in categories]
    return {
        "info": {"description": "COCO 2017 Dataset", "year": 2017},
        "licenses": [{"url": "-", "id": 1, "name": "Attribution License"}],
        "images": [
            {"license": 1, "file_name": f"{image:012}.jpg", "coco_url": "-", "height": 20, "width": 24, "id": image}
            for image in images
        ],
        "annotations": [annotation(number, *pair) for number, pair in enumerate(pairs)],
        "categories": [{"supercategory": group, "id": number, "name": name} for number, name, group in CATEGORIES],
    }


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "coco"
    for part, images in IMAGES.items():
        text(folder / "annotations" / f"instances_{part}.json", json.dumps(instances(images)))
        for image in images:
            photo(folder / part / f"{image:012}.jpg", image)
    return folder


def opened(root: Path) -> Dataset:
    return datasets.create("coco", path=str(root))


def edited(root: Path, file: str, *place: str | int, value: Any = None) -> None:
    """Set one value of the annotations, or remove it."""
    content = json.loads((root / file).read_text())
    *parents, last = place
    inner: Any = content
    for key in parents:
        inner = inner[key]
    if value is None:
        del inner[last]
    else:
        inner[last] = value
    text(root / file, json.dumps(content))


def test_both_parts_are_pooled_and_classes_follow_the_category_ids(root: Path, tmp_path: Path) -> None:
    dataset = opened(root)
    assert dataset.published == 123_287
    assert dataset.class_names == ["person", "stop sign", "toothbrush"]
    labels = dict(zip(dataset.ids, dataset.labels.tolist(), strict=True))
    assert labels == {
        "train2017/000000000009.jpg": [1, 1, 0],
        "train2017/000000000025.jpg": [0, 0, 0],
        "train2017/000000581929.jpg": [0, 0, 1],
        "val2017/000000000139.jpg": [1, 0, 1],
        "val2017/000000000285.jpg": [0, 0, 0],
    }
    assert list(labels) == sorted(labels)
    assert sound(dataset, "coco", tmp_path / "data").manifest["unlabelled"] == 2


def test_an_archive_gives_what_its_folder_does(root: Path, tmp_path: Path) -> None:
    alike(opened(root), opened(zipped(root, tmp_path / "coco.zip")))


def test_other_count_is_a_warning_with_both_numbers(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sound(opened(root), "coco", tmp_path / "data")
    assert "coco was published with 123,287 images, 5 were found" in capsys.readouterr().err


def test_missing_images_are_counted_and_named(root: Path) -> None:
    (root / "train2017" / "000000000025.jpg").unlink()
    (root / "val2017" / "000000000139.jpg").unlink()
    named = "2 of 5 images are missing: train2017/000000000025.jpg, val2017/000000000139.jpg;"
    refused("coco", str(root), named, "docs/datasets.md", path=str(root))


def test_missing_annotations_are_named(root: Path) -> None:
    (root / VAL).unlink()
    refused("coco", f"1 of 2 files of annotations are missing: {VAL}", "docs/datasets.md", path=str(root))
    refused("coco", "dataset.path", "found null", path=None)


@pytest.mark.parametrize(
    "content", [b"", b"{", b'{"images": [}', b"\xff\xfe\x00", b'{"images": [' * 9999, b"<html>not found</html>"]
)
def test_annotations_that_are_not_json_are_refused(root: Path, content: bytes) -> None:
    (root / TRAIN).write_bytes(content)
    refused("coco", str(root / TRAIN), "can't be read as JSON", path=str(root))


@pytest.mark.parametrize(
    "place",
    [
        ("images",), ("annotations",), ("categories",), ("images", 1, "id"), ("images", 1, "file_name"),
        ("annotations", 0, "image_id"), ("annotations", 0, "category_id"), ("categories", 0, "name"),
        ("categories", 2, "id"),
    ],
)  # fmt: skip
def test_a_missing_key_is_named(root: Path, place: tuple[str | int, ...]) -> None:
    edited(root, VAL, *place)
    refused("coco", str(root / VAL), f"'{place[-1]}' is missing", path=str(root))


@pytest.mark.parametrize(
    ("place", "value", "parts"),
    [
        (("images",), 7, ("not COCO's annotations",)),
        (("images",), [7], ("not COCO's annotations",)),
        (("annotations", 0, "image_id"), "x", ("not COCO's annotations",)),
        (("annotations", 0, "image_id"), 4711, ("an annotation names image 4711", "doesn't list")),
        (("annotations", 0, "category_id"), 12, ("an annotation names category 12", "doesn't list")),
        (("images", 0, "file_name"), "../../x.jpg", ("leads out",)),
        (("images", 0, "file_name"), 7, ("not COCO's annotations",)),
        (("images", 0, "id"), 285, ("two of its images have the same id or the same name",)),
        (("categories", 0, "name"), "person", ("two of its categories have the same",)),
        (("images",), [], ("it lists no images",)),
        (("categories", 0, "name"), "comb", ("its categories differ", TRAIN)),
    ],
)
def test_annotations_that_are_wrong_are_refused(
    root: Path, place: tuple[str | int, ...], value: Any, parts: tuple[str, ...]
) -> None:
    edited(root, VAL, *place, value=value)
    refused("coco", str(root / VAL), *parts, path=str(root))


def test_a_list_in_place_of_annotations_is_refused(root: Path) -> None:
    text(root / TRAIN, "[]")
    refused("coco", str(root / TRAIN), "not COCO's annotations", path=str(root))
