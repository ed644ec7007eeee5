"""``cifar10``: 60,000 images of 10 classes (Krizhevsky 2009), as its published files or as image files."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipeline.datasets import Dataset
from pipeline.datasets._files import EXTENSIONS, Files
from pipeline.datasets._folder import ImageFiles
from pipeline.runtime.errors import UserError
from pipeline.runtime.paths import given

CLASSES = "airplane automobile bird cat deer dog frog horse ship truck".split()
PARTS = ("train", "test")
BATCHES = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
FOLDER = "cifar-10-batches-py"
WANTED = (
    f"a folder that holds {FOLDER}, a folder or zip archive with train/<class>/ and test/<class>/, or an empty "
    "or new folder to download to with download: true"
)


class Cifar10(Dataset):
    """CIFAR-10's published train and test sets pooled, 6,000 images per class, as in both papers.

    The protocol draws its own split. Ids begin with ``train/`` or ``test/``, the part that the image was published in.
    A number of images other than 60,000 is a warning, not an error.

    Args:
        path: a folder that contains ``cifar-10-batches-py/`` (the published python version), or a folder or zip
            archive with class folders ``train/<class>/*`` and ``test/<class>/*``.
        download: if ``path`` doesn't hold the dataset yet, download the published files into it; torchvision checks
            their MD5.

    Raises:
        UserError: neither form is found, a part is missing or invalid, or the download failed.
    """

    published = 60_000

    def __init__(self, *, path: str | None, download: bool = False) -> None:
        self.class_names = CLASSES
        if path is not None and download and not _is_there(given(path)):
            _download(given(path))
        files = Files(path, WANTED)
        self._pixels: Any = None
        if files.has(f"{FOLDER}/{BATCHES[0]}"):
            self._read_batches(files)
        else:
            self._read_folders(files)

    def image(self, row: int) -> Image.Image:
        return Image.fromarray(self._pixels[row]) if self._pixels is not None else self._files.image(row)

    def _read_batches(self, files: Files) -> None:
        names = [f"{FOLDER}/{batch}" for batch in BATCHES]
        files.require(names, "of CIFAR-10's files", "download the archive again")
        parts = [_batch(files, name) for name in names]
        self._pixels = np.concatenate([pixels for pixels, _, _ in parts])
        of = {batch: "test" if batch == "test_batch" else "train" for batch in BATCHES}
        self.ids = [f"{of[batch]}/{file}" for batch, (_, _, own) in zip(BATCHES, parts, strict=True) for file in own]
        self.labels = np.eye(len(CLASSES), dtype=np.uint8)[np.concatenate([labels for _, labels, _ in parts])]

    def _read_folders(self, files: Files) -> None:
        folders = {f"{part}/{name}": label for part in PARTS for label, name in enumerate(CLASSES)}
        named = [name for name in files.names if name.lower().endswith(EXTENSIONS)]
        by_folder: dict[str, list[str]] = {folder: [] for folder in folders}
        for name in named:
            by_folder.setdefault(name.rpartition("/")[0], []).append(name)
        missing = [folder for folder in folders if not by_folder[folder]]
        if missing:
            raise UserError(
                f"dataset.path: {len(missing)} of {len(folders)} class folders below {files.root} are missing or "
                f"empty, the first is {missing[0]}; expected {WANTED}"
            )
        names = [name for folder in folders for name in by_folder[folder]]
        own = [folders[name.rpartition("/")[0]] for name in names]
        self._files = ImageFiles(files, names, np.eye(len(CLASSES), dtype=np.uint8)[own], CLASSES)
        self.ids, self.labels = names, self._files.labels


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


def _batch(files: Files, name: str) -> tuple[Any, list[int], list[str]]:
    """Pixels (n, 32, 32, 3), class numbers and file names of one of the six pickled files."""
    try:
        with files.open(name) as file:
            content = _Plain(file, encoding="latin1").load()
        pixels = np.asarray(content["data"], dtype=np.uint8).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        labels, ids = [int(label) for label in content["labels"]], [str(text) for text in content["filenames"]]
        if not len(pixels) == len(labels) == len(ids) or not set(labels) <= set(range(len(CLASSES))):
            raise ValueError(f"{len(pixels)} images, {len(labels)} labels, {len(ids)} names")
    except Exception as error:  # a broken pickle can raise any exception
        raise UserError(
            f"{files.root / name}: not one of CIFAR-10's files ({error}); download the archive again"
        ) from None
    return pixels, labels, ids


def _is_there(path: Path) -> bool:
    """Whether ``path`` is a file or contains one of the two forms, complete or not."""
    return path.is_file() or any((path / name).is_dir() for name in (FOLDER, *PARTS))


def _download(folder: Path) -> None:
    # torchvision takes seconds to load, and only a download needs it.
    from torchvision import datasets

    try:
        folder.mkdir(parents=True, exist_ok=True)
        datasets.CIFAR10(str(folder), download=True)
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"dataset.path: CIFAR-10 couldn't be downloaded ({error}); fetch cifar-10-python.tar.gz on a machine "
            f"with a network, unpack it below {folder}, and set download: false"
        ) from None
