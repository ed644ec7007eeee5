"""``coco``: MS COCO 2017's train and validation images with 80 object categories (Lin et al. 2014)."""

import json
from typing import Any

import numpy as np

from pipeline.datasets._files import Files, inside
from pipeline.datasets._folder import ImageFiles
from pipeline.runtime.errors import UserError

WANTED = "COCO 2017's folder with annotations, train2017 and val2017 (see docs/datasets.md)"
ADVICE = "docs/datasets.md says where the images belong"
PARTS = ("train2017", "val2017")
# The only keys of the annotations that are kept; outlines are nine tenths of the file.
KEYS = ("images", "annotations", "categories", "id", "name", "file_name", "image_id", "category_id")

#: Image file names by image id, class names by category id, and (image id, category id) of every annotation.
Part = tuple[dict[int, str], dict[int, str], set[tuple[int, int]]]


class Coco(ImageFiles):
    """The 118,287 train and 5,000 validation images pooled, 123,287 in all, as the HSWD paper counts them.

    An image has a label if it has an annotation of that category, crowd annotations included. Classes are ordered by
    category id (1 to 90 with gaps).

    The paper says that each image has at least one label, but 1,069 have none. They are kept without labels.
    Protocols draw query, training and validation images only from labelled images, so unlabelled images can only be
    in the database, where they are relevant to no query.

    Args:
        path: the folder (or a zip archive of it) with ``annotations/instances_train2017.json``,
            ``annotations/instances_val2017.json``, ``train2017/`` and ``val2017/``.

    Raises:
        UserError: annotations are missing or not in COCO's published form, or images are missing.
    """

    published = 123_287

    def __init__(self, *, path: str | None) -> None:
        files = Files(path, WANTED)
        where = [f"annotations/instances_{part}.json" for part in PARTS]
        files.require(where, "files of annotations", "docs/datasets.md shows where they belong")
        # Read one after the other, so that only one file's content is in memory.
        parts = [_read(files, name, part) for name, part in zip(where, PARTS, strict=True)]
        categories = parts[0][1]
        if parts[1][1] != categories:
            raise UserError(f"{files.root / where[1]}: its categories differ from those of {where[0]}")
        column = {category: number for number, category in enumerate(sorted(categories))}
        names: list[str] = []
        multi_hot = np.zeros((sum(len(images) for images, _, _ in parts), len(column)), np.uint8)
        for images, _, pairs in parts:
            row = {image: len(names) + number for number, image in enumerate(sorted(images))}
            names += [images[image] for image in row]
            for image, category in pairs:
                multi_hot[row[image], column[category]] = 1
        files.require(names, "images", ADVICE)
        super().__init__(files, names, multi_hot, [categories[category] for category in column])


def _read(files: Files, name: str, part: str) -> Part:
    where = f"{files.root / name}"
    try:
        with files.open(name) as file:
            content = json.load(file, object_hook=_slim)
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{where}: can't be read as JSON ({error}); download the annotations again") from None
    try:
        categories = {int(entry["id"]): str(entry["name"]) for entry in content["categories"]}
        images = {int(entry["id"]): f"{part}/{inside(entry['file_name'], where)}" for entry in content["images"]}
        pairs = {(int(entry["image_id"]), int(entry["category_id"])) for entry in content["annotations"]}
    except KeyError as error:
        raise UserError(
            f"{where}: {error} is missing, of the file or of an entry; expected COCO's annotations of instances"
        ) from None
    except UserError:
        raise
    except (TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{where}: not COCO's annotations of instances ({error})") from None
    _complete(where, content, categories, images, pairs)
    return images, categories, pairs


def _complete(
    where: str, content: Any, categories: dict[int, str], images: dict[int, str], pairs: set[tuple[int, int]]
) -> None:
    for what, kept in (("categories", categories), ("images", images)):
        if not kept:
            raise UserError(f"{where}: it lists no {what}")
        if len(kept) != len(content[what]) or len(set(kept.values())) != len(kept):
            raise UserError(f"{where}: two of its {what} have the same id or the same name")
    for image, category in sorted(pairs):
        if image not in images:
            raise UserError(f"{where}: an annotation names image {image}, which the file doesn't list")
        if category not in categories:
            raise UserError(f"{where}: an annotation names category {category}, which the file doesn't list")


def _slim(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: entry[key] for key in KEYS if key in entry}
