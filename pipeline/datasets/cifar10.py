"""``cifar10``: 60,000 images of 10 classes, read from class folders."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image as Picture

from pipeline.datasets import Dataset, Image
from pipeline.runtime.errors import UserError

CLASSES = "airplane automobile bird cat deer dog frog horse ship truck".split()
PARTS = ("train", "test")
ENDINGS = {".jpg", ".jpeg", ".png"}


class Cifar10(Dataset):
    """CIFAR-10 as picture files, ``<path>/train/<class>/*`` and ``<path>/test/<class>/*``.

    The published train and test parts are pooled, 6,000 images a class, as both papers do; the protocol
    splits them anew. A count other than 60,000 is a warning, not an error.
    """

    def __init__(self, *, path: str | None, image_size: int) -> None:
        super().__init__(path=path, image_size=image_size)
        if path is None:
            raise UserError("dataset.path: expected the folder that holds train/<class>/ and test/<class>/")
        self._root = Path(path).expanduser()
        missing = [folder for part in PARTS for c in CLASSES if not (folder := self._root / part / c).is_dir()]
        if missing:
            raise UserError(
                f"dataset.path: {len(missing)} of {len(PARTS) * len(CLASSES)} class folders are not there, "
                f"the first is {missing[0]}; unpack CIFAR-10's class folders there, see the README"
            )
        found = [
            (file, label)
            for part in PARTS
            for label, name in enumerate(CLASSES)
            for file in sorted((self._root / part / name).iterdir())
            if file.suffix.lower() in ENDINGS
        ]
        if not found:
            raise UserError(f"dataset.path: no picture ({', '.join(sorted(ENDINGS))}) below {self._root}")
        if len(found) != 60_000:
            print(f"warning: cifar10 has 60,000 images, {len(found):,} were found below {self._root}")
        self._files = [file for file, _ in found]
        self.class_names = CLASSES
        self.ids = [file.relative_to(self._root).as_posix() for file in self._files]
        self.labels = np.eye(len(CLASSES), dtype=np.uint8)[[label for _, label in found]]

    def images(self) -> Iterator[Image]:
        size = (self.image_size, self.image_size)
        for file in self._files:
            try:
                with Picture.open(file) as picture:
                    rgb = picture.convert("RGB")
            except (OSError, ValueError, SyntaxError) as error:  # what Pillow raises
                raise UserError(f"{file}: not a readable picture ({error}); replace or remove it") from None
            yield np.asarray(rgb if rgb.size == size else rgb.resize(size, Picture.Resampling.BILINEAR))
