"""``mirflickr25k``: 25,000 photographs from Flickr with 24 or 38 labels (Huiskes & Lew 2008)."""

import re

import numpy as np

from pipeline.datasets._files import Files
from pipeline.datasets._folder import ImageFiles
from pipeline.runtime.errors import UserError

IMAGES = ("", "mirflickr/", "images/")
ANNOTATIONS = ("", "annotations/", "mirflickr25k_annotations_v080/")
ADVICE = "unpack mirflickr25k.zip and mirflickr25k_annotations_v080.zip below dataset.path (docs/datasets.md)"


class MirFlickr25k(ImageFiles):
    """All photographs ``im1.jpg`` to ``im25000.jpg``; those without a label stay in the database.

    The annotations have a file for each label, with the numbers of its photographs. 24 labels say that something may be
    seen in a photograph; 14 of them have a stricter variant, ``_r1``, for photographs in which it is relevant. Papers
    use the 24 (DCMH and others) or all 38 (DPSH's successors, and a public implementation of several methods,
    https://github.com/swuxyj/DeepHash-pytorch).

    Args:
        path: the folder (or a zip archive of it) with ``mirflickr/im1.jpg`` ... and the annotations in
            ``mirflickr25k_annotations_v080/`` or ``annotations/``; both may also lie directly below.
        relevant: also use the 14 stricter labels, 38 in all.

    Raises:
        UserError: annotations or images are missing, or a line isn't the number of a photograph.
    """

    published = 25_000

    def __init__(self, *, path: str | None, relevant: bool = False) -> None:
        files = Files(path, "a folder with MIRFLICKR-25000's images and annotations")
        numbers, folder = _images(files)
        names = _annotations(files)
        kept = [name for name in sorted(names) if relevant or not name.endswith("_r1")]
        row = {number: place for place, number in enumerate(numbers)}
        multi_hot = np.zeros((len(numbers), len(kept)), np.uint8)
        for column, name in enumerate(kept):
            for line, text in enumerate(files.text(names[name]).split(), start=1):
                if not text.isdigit() or int(text) not in row:
                    raise UserError(
                        f"{files.root / names[name]}:{line}: expected the number of one of {len(numbers):,} images; "
                        f"found {text!r}"
                    )
                multi_hot[row[int(text)], column] = 1
        super().__init__(files, [f"{folder}im{number}.jpg" for number in numbers], multi_hot, kept)


def _images(files: Files) -> tuple[list[int], str]:
    """The numbers of the images, and their folder."""
    for folder in IMAGES:
        pattern = re.compile(rf"{re.escape(folder)}im(\d+)\.jpg")
        if numbers := sorted(int(match[1]) for name in files.names if (match := pattern.fullmatch(name))):
            return numbers, folder
    raise UserError(f"dataset.path: no im1.jpg, im2.jpg, ... below {files.root}; {ADVICE}")


def _annotations(files: Files) -> dict[str, str]:
    """The file of each label."""
    for folder in ANNOTATIONS:
        found = {
            name.removeprefix(folder).removesuffix(".txt"): name
            for name in files.names
            if re.fullmatch(rf"{re.escape(folder)}[a-z_0-9]+\.txt", name) and "readme" not in name.lower()
        }
        if len(found) >= 2:
            return found
    raise UserError(f"dataset.path: no annotations such as animals.txt below {files.root}; {ADVICE}")
