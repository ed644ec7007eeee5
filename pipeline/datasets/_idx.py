"""Images and labels in IDX files, the format in which MNIST and Fashion-MNIST are published."""

import gzip
import math
import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipeline.datasets import Dataset
from pipeline.datasets._files import Files
from pipeline.runtime.errors import UserError

#: By part: the beginning of its files' names.
PARTS = {"train": "train", "test": "t10k"}
#: Bytes of a file's content, at most: 45 times MNIST's 60,000 images. A file could claim any number.
MOST = 1 << 31


class IdxImages(Dataset):
    """Grey images of 10 classes, the published train and test sets pooled.

    Ids are ``train/<number>`` and ``test/<number>``, numbered as in the files.

    Args:
        path: a folder (or a zip archive of it) that holds ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``,
            ``t10k-images-idx3-ubyte`` and ``t10k-labels-idx1-ubyte``, each with or without ``.gz``, directly or in one
            of ``folders``.
        class_names: the 10 names.
        folders: where torchvision and others put the files.

    Raises:
        UserError: a file is missing or has another content.
    """

    def __init__(self, path: str | None, class_names: list[str], folders: tuple[str, ...]) -> None:
        wanted = "a folder or zip archive with train-images-idx3-ubyte.gz and its three companions"
        files = Files(path, wanted)
        pixels, numbers, self.ids = [], [], list[str]()
        for part, begin in PARTS.items():
            images = _read(files, f"{begin}-images-idx3-ubyte", 3, folders, wanted)
            labels = _read(files, f"{begin}-labels-idx1-ubyte", 1, folders, wanted)
            if len(images) != len(labels) or labels.max(initial=0) >= len(class_names):
                raise UserError(
                    f"{files.root}: {len(images):,} images and {len(labels):,} labels up to {labels.max(initial=0)} of "
                    f"{part}; expected as many, and labels from 0 to {len(class_names) - 1}"
                )
            pixels.append(images)
            numbers.append(labels)
            self.ids += [f"{part}/{number}" for number in range(len(labels))]
        if pixels[0].shape[1:] != pixels[1].shape[1:]:
            raise UserError(f"{files.root}: images of two sizes, {pixels[0].shape[1:]} and {pixels[1].shape[1:]}")
        self._pixels: Any = np.concatenate(pixels)
        self.class_names = class_names
        self.labels = np.eye(len(class_names), dtype=np.uint8)[np.concatenate(numbers)]

    def image(self, row: int) -> Image.Image:
        return Image.fromarray(self._pixels[row])


def _read(files: Files, name: str, dimensions: int, folders: tuple[str, ...], wanted: str) -> npt.NDArray[np.uint8]:
    places = [f"{folder}{name}{end}" for folder in ("", *folders) for end in ("", ".gz")]
    # Some copies are named train-images.idx3-ubyte.
    places += [place.replace("-idx", ".idx") for place in places]
    found = next((place for place in places if files.has(place)), None)
    if found is None:
        raise UserError(f"{files.root}: {name} or {name}.gz is missing; expected {wanted}")
    try:
        with files.open(found) as file:
            source = gzip.GzipFile(fileobj=file) if found.endswith(".gz") else file
            header = struct.unpack(f">{1 + dimensions}I", source.read(4 + 4 * dimensions))
            # Two bytes of zeros, the type (8 is uint8), the number of dimensions.
            if header[0] != 0x0800 + dimensions or math.prod(header[1:]) > MOST:
                raise ValueError(f"it begins with {header[0]:#010x}, sizes {header[1:]}")
            content = source.read(math.prod(header[1:]) + 1)
        if len(content) != math.prod(header[1:]):
            raise ValueError(f"{len(content):,} values for {' x '.join(map(str, header[1:]))}")
    except (OSError, EOFError, ValueError, struct.error, zlib.error) as error:
        raise UserError(
            f"{files.root / found}: not an IDX file of {dimensions} dimensions of bytes ({error}); download it again"
        ) from None
    return np.frombuffer(content, np.uint8).reshape(header[1:])
