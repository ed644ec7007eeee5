"""A dataset as packed uint8 arrays on disk, written once and mapped by every later stage."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from pipeline.codes import pack_labels, unpack_labels
from pipeline.runtime.outputs import read_json, write_json

if TYPE_CHECKING:
    from pipeline.datasets import Dataset


@dataclass(frozen=True)
class Prepared:
    """What ``prepare`` wrote: images (n, S, S, 3) uint8 mapped from disk, labels (n, C) 0/1, the manifest."""

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.uint8]
    manifest: dict[str, Any]


def write(dataset: "Dataset", name: str, target: Path) -> None:
    """Write ``images.npy``, ``labels.npy`` (packed bits), ``ids.txt`` and ``manifest.json`` into ``target``.

    Images go to disk one by one, so memory doesn't grow with their number. The manifest's ``content_hash``
    is the SHA-256 of pixels, labels and ids.
    """
    size, count = dataset.image_size, len(dataset.ids)
    images = np.lib.format.open_memmap(target / "images.npy", mode="w+", dtype=np.uint8, shape=(count, size, size, 3))
    content = hashlib.sha256()
    progress = tqdm(dataset.images(), total=count, unit=" images", desc="prepare", disable=None)
    for row, image in enumerate(progress):
        images[row] = image
        content.update(image.tobytes())
    images.flush()
    labels = pack_labels(dataset.labels)
    np.save(target / "labels.npy", labels)
    ids = "\n".join(dataset.ids) + "\n"
    (target / "ids.txt").write_text(ids, encoding="utf-8")
    content.update(labels.tobytes() + ids.encode())
    per_class = dataset.labels.sum(axis=0, dtype=np.int64).tolist()
    manifest = {
        "dataset": name,
        "images": count,
        "image_size": size,
        "classes": dict(zip(dataset.class_names, per_class, strict=True)),
        "labels_per_image": round(float(dataset.labels.sum() / count), 4),
        "content_hash": content.hexdigest(),
    }
    write_json(target / "manifest.json", manifest)


def load(folder: Path) -> Prepared:
    """Open what ``write`` wrote; the pixels stay on disk until they are read."""
    manifest = read_json(folder / "manifest.json")
    labels = unpack_labels(np.load(folder / "labels.npy"), len(manifest["classes"]))
    return Prepared(np.load(folder / "images.npy", mmap_mode="r"), labels, manifest)
