"""Copy the vectors of a dataset into one array on disk."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.preparation import chunks
from pipeline.preparation.chunks import Bad
from pipeline.runtime.errors import UserError

if TYPE_CHECKING:
    from pipeline.datasets._vectors import VectorDataset


def copy(dataset: "VectorDataset", file: Path, *, fail: bool) -> Bad:
    """Write all vectors into ``file``, (n, D) float32. Memory doesn't grow with n.

    Args:
        dataset: the opened dataset.
        file: the .npy file to write.
        fail: raise an error if a value isn't finite.

    Returns:
        the reason for each vector with a value that isn't finite in float32, by row.

    Raises:
        UserError: a value isn't finite and ``fail`` is set, or no vector is finite.
    """
    count, start = len(dataset.ids), 0
    np.lib.format.open_memmap(file, mode="w+", dtype=np.float32, shape=(count, dataset.num_features)).flush()
    bad: Bad = {}
    for block in dataset.blocks():
        with np.errstate(over="ignore"):  # float64 values beyond float32 are reported as not finite
            rows = np.asarray(block, np.float32)
        bad |= {start + int(row): "not finite" for row in np.flatnonzero(~np.isfinite(rows).all(axis=1))}
        chunks.write(file, start, count, rows)
        start += len(rows)
    if bad and (fail or len(bad) == count):
        shown = ", ".join(dataset.ids[row] for row in sorted(bad)[:10])
        raise UserError(
            f"{len(bad):,} of {count:,} vectors have values that are not finite, with the ids {shown}"
            f"{', ...' if len(bad) > 10 else ''}; correct them, or set dataset.on_bad_image: skip"
        )
    return bad


def zeros(file: Path) -> int:
    """The number of vectors that are 0 in every component, which have no direction."""
    return sum(
        int((~chunks.mapped(file)[start : start + 65_536].any(axis=1)).sum())
        for start in range(0, len(chunks.mapped(file)), 65_536)
    )
