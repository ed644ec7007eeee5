"""Datasets: where images and labels come from. One file each; ``prepare`` turns any into the same arrays."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipeline.runtime.registry import Registry


class Dataset:
    """Pictures with multi-hot labels, ids and class names.

    A subclass takes ``path`` (where the raw files are, or ``None``) and its own settings as annotated
    keyword-only arguments, finds its files in its constructor and sets the attributes below. It goes to other
    processes as it is, so it holds names rather than open files. Sizes, colours and orientation are not its
    business: ``pipeline.preparation.pictures`` treats all pictures alike.

    Attributes:
        class_names: C names.
        ids: n texts that name the images (a file's path inside the dataset, or a number).
        labels: (n, C) uint8, 1 where an image has a class.
        published: how many images the published dataset has; None where there is none.
        left_out: how many of the raw files aren't taken, or what else isn't there, by reason in words.
    """

    class_names: list[str]
    ids: list[str]
    labels: npt.NDArray[np.uint8]
    published: int | None = None
    left_out: Mapping[str, int] = MappingProxyType({})

    def picture(self, row: int) -> Image.Image:
        """Image number ``row`` as Pillow opens it: any mode, any size, not decoded yet.

        Raises:
            OSError, ValueError, SyntaxError: what Pillow raises for a file that it can't read.
        """
        raise NotImplementedError


_REGISTRY = Registry("pipeline.datasets", "dataset", Dataset)
names = _REGISTRY.names


def create(name: str, **arguments: Any) -> Dataset:
    """Open the dataset called ``name``.

    Raises:
        UserError: unknown name or argument, or files that are missing or not what they should be.

    Examples:
        >>> digits = create("digits", path=None)
        >>> digits.labels.shape, digits.picture(0).size
        ((1797, 10), (8, 8))
    """
    return _REGISTRY.create(name, **arguments)
