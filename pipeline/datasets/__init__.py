"""Datasets: sources of images and labels. One file each; ``prepare`` converts all of them to the same arrays."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipeline.runtime.registry import Registry


class Dataset:
    """Images with multi-hot labels, ids and class names.

    A subclass takes ``path`` (the location of the raw files, or ``None``) and its own settings as annotated
    keyword-only arguments. Its constructor finds the files and sets the attributes below. The object is pickled and
    sent to other processes, so it must hold file names rather than open files. It doesn't need to handle sizes,
    colours and orientation: ``pipeline.preparation.square`` converts all images in the same way.

    Attributes:
        class_names: C names.
        ids: n strings that identify the images (a file's path inside the dataset, or a number).
        labels: (n, C) uint8, 1 where an image has a class.
        published: number of images of the published dataset; None if there is no published dataset.
        left_out: number of raw files that are not used, or of other missing things such as empty class folders, by
            reason.
    """

    class_names: list[str]
    ids: list[str]
    labels: npt.NDArray[np.uint8]
    published: int | None = None
    left_out: Mapping[str, int] = MappingProxyType({})

    def image(self, row: int) -> Image.Image:
        """Open one image with Pillow: any mode, any size, not decoded yet.

        Args:
            row: the image's row in ``labels``.

        Raises:
            OSError, ValueError, SyntaxError: Pillow can't read the file.
        """
        raise NotImplementedError


_REGISTRY = Registry("pipeline.datasets", "dataset", Dataset)
names = _REGISTRY.names


def create(name: str, **arguments: Any) -> Dataset:
    """Open the dataset called ``name``.

    Args:
        name: a registered name.
        arguments: ``path`` and the dataset's own settings.

    Raises:
        UserError: unknown name or argument, or files that are missing or invalid.

    Examples:
        >>> digits = create("digits", path=None)
        >>> digits.labels.shape, digits.image(0).size
        ((1797, 10), (8, 8))
    """
    return _REGISTRY.create(name, **arguments)
