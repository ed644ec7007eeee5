"""Read the files of a stage's output and check that they are complete, of the right type and unchanged."""

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pipeline.runtime import provenance
from pipeline.runtime.errors import UserError, first_line

if TYPE_CHECKING:
    import pandas as pd


def damaged(file: Path, what: str) -> UserError:
    """The error for a damaged file: what is wrong with it, and how to restore it."""
    folder = file.parent
    return UserError(
        f"{file}: {what}; restore it with `dvc checkout --force {folder}`, or make it again with `dvc repro`"
    )


def array(file: Path, dtype: str, ndim: int, *, items: int | None = None, mapped: bool = False) -> npt.NDArray[Any]:
    """Load an array that a stage wrote with ``numpy.save``.

    Args:
        file: the .npy file.
        dtype, ndim: expected dtype and number of dimensions.
        items: expected length; None to accept any.
        mapped: memory-map the file instead of reading it.

    Raises:
        UserError: the file is missing, truncated, holds pickled objects, has another dtype, shape or length, or its
            hash differs from its record.
    """
    try:
        found = np.load(file, mmap_mode="r" if mapped else None, allow_pickle=False)
        intact = isinstance(found, np.ndarray)
    except FileNotFoundError:
        raise damaged(file, "missing") from None
    except (ValueError, EOFError, OSError) as error:
        raise damaged(file, f"cut short, or no array ({first_line(error)})") from None
    if not intact or found.dtype != np.dtype(dtype) or found.ndim != ndim:
        kind = f"{found.dtype} in {found.ndim} dimensions" if intact else "an archive"
        raise damaged(file, f"expected {dtype} in {ndim} dimensions, found {kind}")
    if items is not None and len(found) != items:
        raise damaged(file, f"expected {items:,} items, found {len(found):,}")
    as_recorded(file)
    whole: npt.NDArray[Any] = found
    return whole


def weights(file: Path) -> dict[str, Any]:
    """Load tensors that a stage wrote as safetensors.

    Raises:
        UserError: the file is missing, truncated, or its hash differs from its record.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    as_recorded(file)
    try:
        return dict(load_file(file))
    except FileNotFoundError:
        raise damaged(file, "missing") from None
    except (SafetensorError, OSError) as error:
        raise damaged(file, f"cut short, or no weights ({first_line(error)})") from None


def table(file: Path) -> "pd.DataFrame":
    """Load a CSV file that a stage wrote.

    Raises:
        UserError: the file is missing, empty, not a table, or its hash differs from its record.
    """
    import pandas as pd

    as_recorded(file)
    try:
        return pd.read_csv(file)
    except FileNotFoundError:
        raise damaged(file, "missing") from None
    except (ValueError, OSError) as error:  # pandas' errors and UnicodeDecodeError are ValueErrors
        raise damaged(file, f"cut short, or no table ({first_line(error)})") from None


def as_recorded(file: Path) -> None:
    """Check a file against the hash in its provenance record, if there is one. The hash is cached per process.

    Raises:
        UserError: the hash differs.
    """
    record = provenance.read(file.parent)
    known = record.files.get(file.name) if record is not None else None
    if known is not None and file.exists() and _hash(file, file.stat().st_mtime_ns, file.stat().st_size) != known:
        raise damaged(file, "it isn't what was written: its hash has changed")


@lru_cache(maxsize=4096)
def _hash(file: Path, *_: int) -> str:
    return provenance.sha256(file)
