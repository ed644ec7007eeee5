"""The base class of datasets that consist of image files."""

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipeline.datasets import Dataset
from pipeline.datasets._files import Files
from pipeline.preparation.square import FORMATS


class ImageFiles(Dataset):
    """A dataset whose ids are the names of its image files.

    Args:
        files: the folder or archive.
        names: n names of image files in ``files``.
        labels: (n, C) uint8, multi-hot.
        class_names: C names.
    """

    def __init__(self, files: Files, names: list[str], labels: npt.NDArray[np.uint8], class_names: list[str]) -> None:
        self.files, self.ids, self.labels, self.class_names = files, names, labels, class_names

    def image(self, row: int) -> Image.Image:
        return Image.open(self.files.open(self.ids[row]), formats=FORMATS)
