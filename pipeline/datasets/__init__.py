"""Datasets: where images and labels come from. One file each; ``prepare`` turns any into the same arrays."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.runtime.registry import Registry

Image = npt.NDArray[np.uint8]


class Dataset:
    """Images with multi-hot labels, ids and class names.

    A subclass takes ``path`` (where the raw files are, or ``None``) and ``image_size`` (pixels), finds its
    files in its constructor and sets the attributes below.

    Attributes:
        class_names: C names.
        ids: n texts that name the images (a file's path inside the dataset, or a number).
        labels: (n, C) uint8, 1 where an image has a class.
    """

    class_names: list[str]
    ids: list[str]
    labels: npt.NDArray[np.uint8]

    def __init__(self, *, path: str | None, image_size: int) -> None:
        self.path = path
        self.image_size = image_size

    def images(self) -> Iterator[Image]:
        """The images in the order of ``ids``, each (image_size, image_size, 3) uint8 RGB."""
        raise NotImplementedError


_REGISTRY = Registry("pipeline.datasets", "dataset", Dataset)
names = _REGISTRY.names


def create(name: str, **arguments: Any) -> Dataset:
    """Open the dataset called ``name``."""
    return _REGISTRY.create(name, **arguments)
