"""``digits``: scikit-learn's 1,797 scans of handwritten digits (8 x 8 pixels), which need no download."""

from collections.abc import Iterator

import numpy as np

from pipeline.datasets import Dataset, Image
from pipeline.runtime.errors import UserError


class Digits(Dataset):
    """Optical digits of the UCI repository as scikit-learn ships them; grey values 0-16 become 0-255."""

    def __init__(self, *, path: str | None, image_size: int) -> None:
        super().__init__(path=path, image_size=image_size)
        if path is not None:
            raise UserError(f"dataset.path: expected null (digits come with scikit-learn), found {path!r}")
        if image_size != 8:
            raise UserError(f"dataset.image_size: expected 8 (the size of the scans), found {image_size}")
        from sklearn.datasets import load_digits

        raw = load_digits()
        self.class_names = [str(name) for name in raw.target_names]
        self.ids = [str(number) for number in range(len(raw.target))]
        self.labels = np.eye(len(self.class_names), dtype=np.uint8)[raw.target]
        self._scans = np.round(raw.images * (255 / 16)).astype(np.uint8)

    def images(self) -> Iterator[Image]:
        for scan in self._scans:
            yield np.repeat(scan[:, :, None], 3, axis=2)
