"""A dataset as packed uint8 arrays on disk, written once and mapped by every later stage."""

import hashlib
import json
import sys
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
#: Images that are hashed together.
CHUNK = 256
_checked: set[tuple[Path, bytes, int]] = set()
UNREADABLE = "pictures that can't be read, see skipped.txt"


@dataclass(frozen=True)
class Prepared:
    """What ``prepare`` wrote: images (n, S, S, 3) uint8 mapped from disk, labels (n, C) 0/1, the manifest.

    Args:
        digests: SHA-256 of every ``CHUNK`` images, one after another; empty where the images come from elsewhere.
    """

    images: Images
    labels: npt.NDArray[np.uint8]
    manifest: dict[str, Any]
    digests: bytes = b""

    def check(self, indices: npt.NDArray[np.int64] | None = None) -> None:
        """Compare images with the hashes that were recorded; each chunk of them once a process.

        Args:
            indices: those that are asked for; all of them unless given.

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
    image_size: int,
    on_bad_image: Literal["error", "skip"] = "error",
    processes: int | None = None,
) -> None:
    """Write ``images.npy``, ``labels.npy`` (packed bits), ``ids.txt`` and ``manifest.json`` into ``target``.

    Pictures are decoded by several processes, straight into the file, so memory doesn't grow with their number.
    What an interrupted call left in ``target`` is continued where it was of the same dataset and size; otherwise
    it is begun anew. The result is the same bytes either way, and for any number of processes.

    The manifest's ``content_hash`` is the SHA-256 of: the SHA-256s of every 256 images (``images.sha256``), the packed
    labels, the ids.

    Args:
        image_size: S, pixels of the square that every picture becomes (``pictures.square``).
        on_bad_image: a picture that can't be read is an error, or left out; either way it is named.
        processes: how many decode; as many as there are cores unless given.

    Raises:
        UserError: pictures that can't be read, up to ten of them named, under ``error``; or none is left.
    """
    # Only this stage decodes; the others load this module for ``load``.
    from pipeline.preparation import decoding

    bad = decoding.decode(dataset, target, image_size, processes, fail=on_bad_image == "error")
    kept = np.setdiff1d(np.arange(len(dataset.ids)), list(bad))
    pixels = decoding.compacted(target / "images.npy", kept)
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
            f"warning: {len(bad):,} of {len(dataset.ids):,} pictures were left out; skipped.txt says which and why",
            file=sys.stderr,
        )
    manifest = _manifest(dataset, name, image_size, kept)
    manifest["content_hash"] = hashlib.sha256(pixels + labels.tobytes() + ids.encode()).hexdigest()
    write_json(target / "manifest.json", manifest)
    print("\n".join(summary(manifest)))


def summary(manifest: dict[str, Any]) -> list[str]:
    """What was found, in a few lines: images, classes, images a class, and what was left out and why."""
    counts = manifest["classes"]
    least, most = min(counts, key=counts.__getitem__), max(reversed(counts), key=counts.__getitem__)
    unlabelled = f", {manifest['unlabelled']:,} without a label" if manifest["unlabelled"] else ""
    lines = [
        f"{manifest['dataset']}: {manifest['images']:,} images{unlabelled}, {len(counts):,} classes",
        f"images a class: {counts[least]:,} ({least}) to {counts[most]:,} ({most})",
    ]
    lines += [f"left out: {reason} ({count:,})" for reason, count in manifest["left_out"].items()]
    return lines


def _manifest(dataset: "Dataset", name: str, image_size: int, kept: npt.NDArray[np.int64]) -> dict[str, Any]:
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
    """Open what ``write`` wrote; the pixels stay on disk until they are read.

    A process that asks again for the same content gets the same object.

    Raises:
        UserError: a file is missing, cut short or changed; of the pixels ``Prepared.check`` tells.
    """
    return _opened(folder.resolve(), json.dumps(read_json(folder / "manifest.json")))


@lru_cache(maxsize=1)
def _opened(folder: Path, description: str) -> Prepared:
    manifest = json.loads(description)  # which has the content's hash
    count, digests = manifest["images"], folder / "images.sha256"
    packed = stored.array(folder / "labels.npy", "uint8", 2, items=count)
    images = stored.array(folder / "images.npy", "uint8", 4, items=count, mapped=True)
    known = digests.read_bytes() if digests.exists() else b""
    if not (folder / "ids.txt").exists():
        raise stored.damaged(folder / "ids.txt", "missing")
    ids = (folder / "ids.txt").read_bytes()
    if hashlib.sha256(known + packed.tobytes() + ids).hexdigest() != manifest["content_hash"]:
        raise stored.damaged(folder / "labels.npy", "labels, ids.txt or images.sha256 have changed")
    return Prepared(images, unpack_labels(packed, len(manifest["classes"])), manifest, known)
