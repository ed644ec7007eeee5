"""Small datasets to prepare, and what to look for in what was prepared."""

import time
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.datasets import Dataset
from pipeline.datasets._files import Files
from pipeline.datasets._folder import ImageFiles
from pipeline.preparation import arrays


class Made(Dataset):
    """Small images of random pixels with two labels.

    Args:
        count: how many.
        log: a file that gets a line with the row's number for every image that is decoded.
        pause: seconds that an image takes.
        broken: rows that can't be read.
    """

    def __init__(self, count: int = 6, log: Path | None = None, pause: float = 0, broken: tuple[int, ...] = ()) -> None:
        random = np.random.default_rng(0)
        self.class_names = ["a", "b"]
        self.ids = [f"folder/{number}.png" for number in range(count)]
        self.labels = random.integers(0, 2, (count, 2), dtype=np.uint8)
        self.pixels = random.integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
        self.log, self.pause, self.broken = log, pause, broken

    def image(self, row: int) -> Image.Image:
        if self.log is not None:
            with self.log.open("a") as stream:
                stream.write(f"{row}\n")
        time.sleep(self.pause)
        if row in self.broken:
            raise OSError("broken on purpose")
        return Image.fromarray(self.pixels[row])

    def decoded(self) -> list[int]:
        """Rows that were decoded since the last call, sorted."""
        assert self.log is not None
        rows = sorted(map(int, self.log.read_text().split())) if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return rows


def folder_of(folder: Path) -> Dataset:
    """All files of a folder as images of one class."""
    names = sorted(file.name for file in folder.iterdir())
    return ImageFiles(Files(str(folder), "images"), names, np.ones((len(names), 1), np.uint8), ["a"])


def prepared(dataset: Dataset, folder: Path, size: int = 4, **options: object) -> arrays.Prepared:
    folder.mkdir(exist_ok=True)
    arrays.write(dataset, "made", folder, image_size=size, **options)  # type: ignore[arg-type]
    return arrays.load(folder)


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}
