"""A dataset as packed uint8 arrays on disk, written once and memory-mapped by every later stage."""

import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from pipeline.codes import pack_labels, unpack_labels
from pipeline.runtime import stored
from pipeline.runtime.outputs import read_json, write_json

if TYPE_CHECKING:
    from pipeline.datasets import Dataset

Images = npt.NDArray[np.uint8]
#: Number of images per hash.
CHUNK = 256
_checked: set[tuple[Path, bytes, int]] = set()
UNREADABLE = "images that can't be read, see skipped.txt"


@dataclass(frozen=True)
class Prepared:
    """The output of ``prepare``.

    Args:
        images: (n, S, S, 3) uint8, or vectors (n, D) float32; memory-mapped.
        labels: (n, C) 0/1, multi-hot.
        manifest: the content of ``manifest.json``.
        digests: concatenated SHA-256s (32 bytes each) of consecutive chunks of ``CHUNK`` images; empty if the images
            don't come from ``prepare``.
        ids: n strings that identify the images (``Dataset.ids``); empty if the images don't come from ``prepare``.
    """

    images: Images
    labels: npt.NDArray[np.uint8]
    manifest: dict[str, Any]
    digests: bytes = b""
    ids: Sequence[str] = ()

    def check(self, indices: npt.NDArray[np.int64] | None = None) -> None:
        """Compare images with their recorded hashes; each chunk is checked once per process.

        Args:
            indices: images to check; None for all.

        Raises:
            UserError: pixels have changed.
        """
        file = Path(str(getattr(self.images, "filename", "images.npy")))
        chunks = len(self.digests) // 32
        asked = range(chunks) if indices is None else np.unique(np.asarray(indices) // CHUNK).tolist()
        for chunk in asked if self.digests else ():
            if (file, self.digests, chunk) in _checked:
                continue
            pixels = self.images[chunk * CHUNK : (chunk + 1) * CHUNK].tobytes()
            if hashlib.sha256(pixels).digest() != self.digests[32 * chunk : 32 * chunk + 32]:
                raise stored.damaged(file, f"images {chunk * CHUNK:,} and following have changed")
            _checked.add((file, self.digests, chunk))


def write(
    dataset: "Dataset",
    name: str,
    target: Path,
    *,
    image_size: int | None,
    on_bad_image: Literal["error", "skip"] = "error",
    processes: int | None = None,
) -> None:
    """Write ``images.npy``, ``labels.npy`` (packed bits), ``ids.txt`` and ``manifest.json`` into ``target``.

    A dataset of vectors gets ``vectors.npy`` (n, D) float32 instead of ``images.npy``.

    Several processes decode the images directly into the file, so memory doesn't grow with the number of images.
    If ``target`` holds the files of an interrupted call for the same dataset and size, decoding continues from them;
    otherwise it starts over. The output bytes are the same in both cases, and for any number of processes.

    The manifest's ``content_hash`` is the SHA-256 of: the SHA-256s of every 256 images (``images.sha256``), the packed
    labels, the ids.

    Args:
        dataset: the opened dataset.
        name: the dataset's name, for the manifest.
        target: the folder to write into.
        image_size: S, side in pixels of the square that every image is converted to (``square.square``); None for
            vectors.
        on_bad_image: an unreadable image is an error, or is skipped and listed in ``skipped.txt``.
        processes: number of decoding processes; None for one per core.

    Raises:
        UserError: images can't be read and ``on_bad_image`` is ``error`` (up to ten are named), or no image can be
            read.
    """
    # Imported here, since only the stage prepare decodes; other stages import this module for ``load``.
    from pipeline.datasets._vectors import VectorDataset
    from pipeline.preparation import decoding, vectors

    fail, file = on_bad_image == "error", target / "images.npy"
    if isinstance(dataset, VectorDataset):
        file = target / "vectors.npy"
        bad = vectors.copy(dataset, file, fail=fail)
    else:
        assert image_size is not None
        bad = decoding.decode(dataset, target, image_size, processes, fail=fail)
    kept = np.setdiff1d(np.arange(len(dataset.ids)), list(bad))
    pixels = decoding.compacted(file, kept)
    (target / "images.sha256").write_bytes(pixels)
    labels = pack_labels(dataset.labels[kept])
    np.save(target / "labels.npy", labels)
    ids = "".join(f"{dataset.ids[row]}\n" for row in kept)
    (target / "ids.txt").write_text(ids, encoding="utf-8")
    (target / "skipped.txt").unlink(missing_ok=True)
    if bad:
        lines = "".join(f"{dataset.ids[row]}\t{reason}\n" for row, reason in sorted(bad.items()))
        (target / "skipped.txt").write_text(lines, encoding="utf-8")
        print(
            f"warning: {len(bad):,} of {len(dataset.ids):,} images were left out; skipped.txt says which and why",
            file=sys.stderr,
        )
    manifest = _manifest(dataset, name, image_size, kept)
    if isinstance(dataset, VectorDataset):
        manifest |= {"num_features": dataset.num_features, "zero_vectors": vectors.zeros(file)}
    manifest["content_hash"] = hashlib.sha256(pixels + labels.tobytes() + ids.encode()).hexdigest()
    write_json(target / "manifest.json", manifest)
    print("\n".join(summary(manifest)))


def summary(manifest: dict[str, Any]) -> list[str]:
    """Summarize a manifest in a few lines: images, classes, images per class, and what was left out and why."""
    counts = manifest["classes"]
    least, most = min(counts, key=counts.__getitem__), max(reversed(counts), key=counts.__getitem__)
    unlabelled = f", {manifest['unlabelled']:,} without a label" if manifest["unlabelled"] else ""
    lines = [
        f"{manifest['dataset']}: {manifest['images']:,} images{unlabelled}, {len(counts):,} classes",
        f"images a class: {counts[least]:,} ({least}) to {counts[most]:,} ({most})",
    ]
    lines += [f"left out: {reason} ({count:,})" for reason, count in manifest["left_out"].items()]
    return lines


def _manifest(dataset: "Dataset", name: str, image_size: int | None, kept: npt.NDArray[np.int64]) -> dict[str, Any]:
    labels = dataset.labels[kept]
    if dataset.published not in (None, len(dataset.ids)):
        print(
            f"warning: {name} was published with {dataset.published:,} images, {len(dataset.ids):,} were found",
            file=sys.stderr,
        )
    return {
        "dataset": name,
        "images": len(kept),
        "image_size": image_size,
        "published": dataset.published,
        "skipped": len(dataset.ids) - len(kept),
        "left_out": {**dataset.left_out, **({UNREADABLE: bad} if (bad := len(dataset.ids) - len(kept)) else {})},
        "classes": dict(zip(dataset.class_names, labels.sum(axis=0, dtype=np.int64).tolist(), strict=True)),
        "labels_per_image": round(float(labels.sum() / len(kept)), 4),
        "unlabelled": int((labels.sum(axis=1) == 0).sum()),
    }


def load(folder: Path) -> Prepared:
    """Open the files that ``write`` wrote; the images are memory-mapped.

    A second call with the same content in the same process returns the same object.

    Raises:
        UserError: a file is missing, truncated or changed. Pixels are checked by ``Prepared.check``, not here.
    """
    return _opened(folder.resolve(), json.dumps(read_json(folder / "manifest.json")))


@lru_cache(maxsize=1)
def _opened(folder: Path, description: str) -> Prepared:
    manifest = json.loads(description)  # contains the content hash, so the cache key changes with the content
    count, digests = manifest["images"], folder / "images.sha256"
    packed = stored.array(folder / "labels.npy", "uint8", 2, items=count)
    if "num_features" in manifest:
        images = stored.array(folder / "vectors.npy", "float32", 2, items=count, mapped=True)
    else:
        images = stored.array(folder / "images.npy", "uint8", 4, items=count, mapped=True)
    known = digests.read_bytes() if digests.exists() else b""
    if not (folder / "ids.txt").exists():
        raise stored.damaged(folder / "ids.txt", "missing")
    ids = (folder / "ids.txt").read_bytes()
    if hashlib.sha256(known + packed.tobytes() + ids).hexdigest() != manifest["content_hash"]:
        raise stored.damaged(folder / "labels.npy", "labels, ids.txt or images.sha256 have changed")
    # Not splitlines, which also splits at characters that a file name may contain.
    names = ids.decode("utf-8").removesuffix("\n").split("\n")
    return Prepared(images, unpack_labels(packed, len(manifest["classes"])), manifest, known, names)
