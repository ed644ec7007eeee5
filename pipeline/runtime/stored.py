"""Reading what a stage has stored: whole, of the right kind, and as it was when it was written; or one line."""

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pipeline.runtime import provenance
from pipeline.runtime.errors import UserError

if TYPE_CHECKING:
    import pandas as pd


def damaged(file: Path, what: str) -> UserError:
    """What is wrong with a stored file, and how it comes back."""
    folder = file.parent
    return UserError(
        f"{file}: {what}; restore it with `dvc checkout --force {folder}`, or make it anew with `dvc repro`"
    )


def array(file: Path, dtype: str, ndim: int, *, items: int | None = None, mapped: bool = False) -> npt.NDArray[Any]:
    """An array that a stage wrote with ``numpy.save``.

    Args:
        dtype, ndim: what it must be.
        items: its length, where that is known.
        mapped: leave it on disk until it is read.

    Raises:
        UserError: it is missing, cut short, holds pickled objects, is of another kind or length, or isn't what its
            record says.
    """
    try:
        found = np.load(file, mmap_mode="r" if mapped else None, allow_pickle=False)
        intact = isinstance(found, np.ndarray)
    except FileNotFoundError:
        raise damaged(file, "missing") from None
    except (ValueError, EOFError, OSError) as error:
        raise damaged(file, f"cut short, or no array ({_first_line(error)})") from None
    if not intact or found.dtype != np.dtype(dtype) or found.ndim != ndim:
        kind = f"{found.dtype} in {found.ndim} dimensions" if intact else "an archive"
        raise damaged(file, f"expected {dtype} in {ndim} dimensions, found {kind}")
    if items is not None and len(found) != items:
        raise damaged(file, f"expected {items:,} items, found {len(found):,}")
    as_recorded(file)
    whole: npt.NDArray[Any] = found
    return whole


def weights(file: Path) -> dict[str, Any]:
    """Tensors that a stage wrote as safetensors.

    Raises:
        UserError: the file is missing, cut short, or isn't what its record says.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    as_recorded(file)
    try:
        return dict(load_file(file))
    except FileNotFoundError:
        raise damaged(file, "missing") from None
    except (SafetensorError, OSError) as error:
        raise damaged(file, f"cut short, or no weights ({_first_line(error)})") from None


def table(file: Path) -> "pd.DataFrame":
    """A CSV file that a stage wrote.

    Raises:
        UserError: it is missing, empty, no table, or isn't what its record says.
    """
    import pandas as pd

    as_recorded(file)
    try:
        return pd.read_csv(file)
    except FileNotFoundError:
        raise damaged(file, "missing") from None
    except (ValueError, OSError) as error:  # pandas' own are ValueErrors, as is what isn't UTF-8
        raise damaged(file, f"cut short, or no table ({_first_line(error)})") from None


def as_recorded(file: Path) -> None:
    """Nothing, if a file has the hash that was recorded when it was written, or none was; asked once a process.

    Raises:
        UserError: it has another one.
    """
    record = provenance.read(file.parent)
    known = record.files.get(file.name) if record is not None else None
    if known is not None and file.exists() and _hash(file, file.stat().st_mtime_ns, file.stat().st_size) != known:
        raise damaged(file, "it isn't what was written: its hash has changed")


@lru_cache(maxsize=4096)
def _hash(file: Path, *_: int) -> str:
    return provenance.sha256(file)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
