"""``digits``: scikit-learn's 1,797 scans of handwritten digits (8 x 8 pixels), which need no download."""

import numpy as np
from PIL import Image

from pipeline.datasets import Dataset
from pipeline.runtime.errors import UserError


class Digits(Dataset):
    """Optical digits of the UCI repository as scikit-learn ships them; grey values 0-16 become 0-255."""

    published = 1797

    def __init__(self, *, path: str | None) -> None:
        if path is not None:
            raise UserError(f"dataset.path: expected null (digits come with scikit-learn), found {path!r}")
        from sklearn.datasets import load_digits

        raw = load_digits()
        self.class_names = [str(name) for name in raw.target_names]
        self.ids = [str(number) for number in range(len(raw.target))]
        self.labels = np.eye(len(self.class_names), dtype=np.uint8)[raw.target]
        self._scans = np.round(raw.images * (255 / 16)).astype(np.uint8)

    def picture(self, row: int) -> Image.Image:
        return Image.fromarray(self._scans[row])
