"""``voc2012``: PASCAL VOC 2012's photographs with 20 object classes (Everingham et al. 2012)."""

import numpy as np

from pipeline.datasets._files import Files
from pipeline.datasets._folder import ImageFiles
from pipeline.runtime.errors import UserError

CLASSES = (
    "aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person pottedplant sheep "
    "sofa train tvmonitor"
).split()
ROOTS = ("", "VOC2012/", "VOCdevkit/VOC2012/")
ADVICE = "unpack VOCtrainval_11-May-2012.tar below dataset.path (docs/datasets.md)"


class Voc2012(ImageFiles):
    """The images of the classification task, train and validation pooled, with one or more of 20 classes.

    ``ImageSets/Main/<class>_trainval.txt`` says for each image 1 (the class is there), -1 (it isn't) or 0 (only objects
    that are hard to see). 0 counts as absent, as in the challenge. Images that then have no class are left out.

    Args:
        path: the folder (or a zip archive of it) that holds ``VOCdevkit/VOC2012``, or is it: with ``JPEGImages/`` and
            ``ImageSets/Main/``.

    Raises:
        UserError: lists or images are missing, or a line has another form.
    """

    published = 11_540

    def __init__(self, *, path: str | None) -> None:
        files = Files(path, "a folder with VOCdevkit/VOC2012")
        root = next((root for root in ROOTS if files.has(f"{root}ImageSets/Main/trainval.txt")), None)
        if root is None:
            raise UserError(f"dataset.path: no ImageSets/Main/trainval.txt below {files.root}; {ADVICE}")
        lists = [f"{root}ImageSets/Main/{name}_trainval.txt" for name in CLASSES]
        files.require(lists, "lists of classes", ADVICE)
        rows: dict[str, list[int]] = {}
        for column, name in enumerate(lists):
            for line, text in enumerate(files.text(name).splitlines(), start=1):
                image, value = _entry(text, f"{files.root / name}:{line}")
                if value == 1:
                    rows.setdefault(image, []).append(column)
        images = sorted(rows)
        multi_hot = np.zeros((len(images), len(CLASSES)), np.uint8)
        for row, image in enumerate(images):
            multi_hot[row, rows[image]] = 1
        names = [f"{root}JPEGImages/{image}.jpg" for image in images]
        files.require(names, "images", ADVICE)
        super().__init__(files, names, multi_hot, CLASSES)
        if not images:
            raise UserError(f"{files.root / lists[0]}: no image has a class; {ADVICE}")


def _entry(text: str, where: str) -> tuple[str, int]:
    words = text.split()
    if len(words) != 2 or words[1] not in ("1", "-1", "0") or "/" in words[0] or "\\" in words[0]:
        raise UserError(f"{where}: expected an image's name and 1, 0 or -1, such as '2008_000008 -1'; found {text!r}")
    return words[0], int(words[1])
