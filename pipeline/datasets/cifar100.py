"""``cifar100``: 60,000 images of 100 classes, or of 20 superclasses (Krizhevsky 2009), as its published files."""

from typing import Any, Literal

import numpy as np
from PIL import Image

from pipeline.datasets import Dataset
from pipeline.datasets._cifar import batch, unpickled
from pipeline.datasets._files import Files
from pipeline.runtime.errors import UserError

FOLDER = "cifar-100-python"
PARTS = ("train", "test")
COUNTS = {"fine": 100, "coarse": 20}
WANTED = f"a folder or zip archive that holds {FOLDER}"


class Cifar100(Dataset):
    """CIFAR-100's published train and test sets pooled, 600 images per class.

    The protocol draws its own split. Ids begin with ``train/`` or ``test/``, the part that the image was published in.
    A number of images other than 60,000 is a warning, not an error.

    Args:
        path: a folder (or a zip archive of it) that contains ``cifar-100-python/`` with ``train``, ``test`` and
            ``meta``.
        labels: ``fine`` for the 100 classes, ``coarse`` for the 20 superclasses of five classes each.

    Raises:
        UserError: a file is missing or has another content.
    """

    published = 60_000

    def __init__(self, *, path: str | None, labels: Literal["fine", "coarse"] = "fine") -> None:
        files = Files(path, WANTED)
        advice = "unpack cifar-100-python.tar.gz there (docs/datasets.md)"
        files.require([f"{FOLDER}/{name}" for name in (*PARTS, "meta")], "of CIFAR-100's files", advice)
        self.class_names = _names(files, labels)
        count = len(self.class_names)
        parts = [batch(files, f"{FOLDER}/{part}", "CIFAR-100", f"{labels}_labels", count) for part in PARTS]
        self._pixels: Any = np.concatenate([pixels for pixels, _, _ in parts])
        self.ids = [f"{part}/{file}" for part, (_, _, own) in zip(PARTS, parts, strict=True) for file in own]
        self.labels = np.eye(count, dtype=np.uint8)[np.concatenate([own for _, own, _ in parts])]

    def image(self, row: int) -> Image.Image:
        return Image.fromarray(self._pixels[row])


def _names(files: Files, labels: str) -> list[str]:
    content = unpickled(files, f"{FOLDER}/meta", "CIFAR-100")
    found = content.get(f"{labels}_label_names") if isinstance(content, dict) else None
    if not isinstance(found, list) or len(set(map(str, found))) != COUNTS[labels]:
        raise UserError(
            f"{files.root / FOLDER / 'meta'}: expected the names of {COUNTS[labels]} classes; "
            "download the archive again"
        )
    return [str(name) for name in found]
