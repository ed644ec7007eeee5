"""``digits``: scikit-learn's 1,797 scans of handwritten digits (8 x 8 pixels), which need no download."""

import numpy as np
from PIL import Image

from pipeline.datasets import Dataset
from pipeline.runtime.errors import UserError


class Digits(Dataset):
    """The UCI repository's optical digits as included in scikit-learn; grey values 0-16 are scaled to 0-255.

    Args:
        path: null, since there are no files.

    Raises:
        UserError: ``path`` is given.
    """

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

    def image(self, row: int) -> Image.Image:
        return Image.fromarray(self._scans[row])
