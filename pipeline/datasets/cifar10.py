"""``cifar10``: 60,000 images of 10 classes (Krizhevsky 2009), as its published files or as image files."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipeline.datasets import Dataset
from pipeline.datasets._cifar import batch
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
        names = [f"{FOLDER}/{name}" for name in BATCHES]
        files.require(names, "of CIFAR-10's files", "download the archive again")
        parts = [batch(files, name, "CIFAR-10", "labels", len(CLASSES)) for name in names]
        self._pixels = np.concatenate([pixels for pixels, _, _ in parts])
        of = {name: "test" if name == "test_batch" else "train" for name in BATCHES}
        self.ids = [f"{of[name]}/{file}" for name, (_, _, own) in zip(BATCHES, parts, strict=True) for file in own]
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
