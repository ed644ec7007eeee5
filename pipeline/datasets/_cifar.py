"""The published python files of CIFAR-10 and CIFAR-100: pickled dictionaries of pixels, labels and file names."""

import pickle
from typing import Any

import numpy as np

from pipeline.datasets._files import Files
from pipeline.runtime.errors import UserError


class _Plain(pickle.Unpickler):
    """Unpickles only numbers, strings and arrays. An unrestricted pickle can run any code."""

    def find_class(self, module: str, name: str) -> Any:
        # NumPy renamed this module.
        module = module.replace("numpy.core", "numpy._core")
        allowed = {
            ("numpy._core.multiarray", "_reconstruct"), ("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode"),
        }  # fmt: skip
        if (module, name) not in allowed:
            raise pickle.UnpicklingError(f"it wants to import {module}.{name}")
        return super().find_class(module, name)


def unpickled(files: Files, name: str, of: str) -> Any:
    """The content of a published file.

    Args:
        files: the dataset's files.
        name: the file.
        of: the dataset's name in messages.

    Raises:
        UserError: the file is no pickle of numbers, strings and arrays.
    """
    try:
        with files.open(name) as file:
            return _Plain(file, encoding="latin1").load()
    except Exception as error:  # a broken pickle can raise any exception
        raise _wrong(files, name, of, error) from None


def batch(files: Files, name: str, of: str, key: str, classes: int) -> tuple[Any, list[int], list[str]]:
    """Pixels (n, 32, 32, 3), class numbers and file names of a published file of images.

    Args:
        files: the dataset's files.
        name: the file.
        of: the dataset's name in messages.
        key: where the file has the class numbers.
        classes: number of classes.

    Raises:
        UserError: the file has another content.
    """
    content = unpickled(files, name, of)
    try:
        pixels = np.asarray(content["data"], dtype=np.uint8).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        labels, ids = [int(label) for label in content[key]], [str(text) for text in content["filenames"]]
        if not len(pixels) == len(labels) == len(ids) or not set(labels) <= set(range(classes)):
            raise ValueError(f"{len(pixels)} images, {len(labels)} labels, {len(ids)} names")
    except Exception as error:  # whatever a wrong content raises
        raise _wrong(files, name, of, error) from None
    return pixels, labels, ids


def _wrong(files: Files, name: str, of: str, error: Exception) -> UserError:
    return UserError(f"{files.root / name}: not one of {of}'s files ({error}); download the archive again")
