"""Splits: the parts of a dataset as index files, checked and hashed."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from pipeline.runtime import stored
from pipeline.runtime.errors import UserError
from pipeline.runtime.outputs import read_json, write_json

Indices = npt.NDArray[np.int64]
PARTS = ("query", "database", "train", "validation")


@dataclass(frozen=True)
class Split:
    """Sorted image indices of the four parts, each (n,) int64.

    ``query`` is disjoint from all other parts, and ``train`` from ``validation``. Protocols that draw a split draw
    ``train`` and ``validation`` from ``database``; in some published lists (MIRFLICKR's) ``train`` lies outside it.
    """

    query: Indices
    database: Indices
    train: Indices
    validation: Indices

    def check(self, num_images: int) -> None:
        """Check the indices.

        Args:
            num_images: n, the number of images of the dataset.

        Raises:
            UserError: a part is empty or repeats an image, an index is outside 0 to n-1, or the parts overlap where
                they must not.
        """
        parts = {name: set(getattr(self, name).tolist()) for name in PARTS}
        for name, members in parts.items():
            count = len(getattr(self, name))
            if not members or len(members) != count:
                raise UserError(f"split: {name} must hold at least one image and none twice; it has {count}")
            if min(members) < 0 or max(members) >= num_images:
                raise UserError(f"split: {name} names images outside the dataset's {num_images}")
        for a, b in (("query", "database"), ("query", "train"), ("query", "validation"), ("train", "validation")):
            if parts[a] & parts[b]:
                raise UserError(f"split: {a} and {b} share {len(parts[a] & parts[b])} images; expected none")

    def training_indices(self, part: Literal["train", "database"]) -> Indices:
        """Sorted indices of the images to train on: ``train``, or ``database`` without the validation images."""
        return self.train if part == "train" else np.setdiff1d(self.database, self.validation)

    def digest(self) -> str:
        """SHA-256 over the four index arrays (little-endian int64, in the order of ``PARTS``)."""
        total = hashlib.sha256()
        for name in PARTS:
            total.update(name.encode() + getattr(self, name).astype("<i8").tobytes())
        return total.hexdigest()


def write(
    split: Split, target: Path, *, protocol: str, seed: int, manifest: dict[str, Any], fixed_by: str | None = None
) -> None:
    """Check a split against the dataset's manifest, then write ``<part>.npy`` (int64) and ``split.json``.

    Args:
        split: the split to write.
        target: the folder to write into.
        protocol, seed: how the split was drawn; stored in ``split.json``.
        manifest: the prepared data's ``manifest.json``.
        fixed_by: ``Protocol.fixed_by``; stored in ``split.json`` unless it is None.

    Raises:
        UserError: the split is invalid, see ``Split.check``.
    """
    split.check(manifest["images"])
    for part in PARTS:
        np.save(target / f"{part}.npy", getattr(split, part))
    record = {
        "protocol": protocol,
        "seed": seed,
        **{part: len(getattr(split, part)) for part in PARTS},
        "split_hash": split.digest(),
        "content_hash": manifest["content_hash"],
        **({} if fixed_by is None else {"fixed_by": fixed_by}),
    }
    write_json(target / "split.json", record)


def load(folder: Path) -> Split:
    """Read a split.

    Raises:
        UserError: a file is missing or damaged, or the indices don't match the recorded hash.
    """
    split = Split(**{part: stored.array(folder / f"{part}.npy", "int64", 1) for part in PARTS})
    if split.digest() != read_json(folder / "split.json")["split_hash"]:
        raise UserError(f"{folder}: the index files differ from split_hash; run `dvc repro` to make them again")
    return split
