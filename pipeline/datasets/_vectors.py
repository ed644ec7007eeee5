"""Files of feature vectors: .npy, .npz and .parquet, read in blocks without unpickling anything."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.datasets import Dataset
from pipeline.runtime.errors import UserError, first_line

Vectors = npt.NDArray[np.floating[Any]]
#: Rows that are read at a time.
BLOCK = 65_536
SUFFIXES = (".npy", ".npz", ".parquet")


class VectorDataset(Dataset):
    """A dataset of feature vectors instead of images; it is used with the backbone ``identity``.

    Attributes:
        num_features: D, the length of a vector.
    """

    num_features: int

    def blocks(self) -> Iterator[Vectors]:
        """Yield all vectors in order, (b, D) at a time, as they are in the files."""
        raise NotImplementedError


class VectorFile:
    """One file of vectors, and the further columns in it.

    Args:
        file: ``.npy``: one array (n, D). ``.npz``: an array ``vectors``, or its only array with two dimensions of
            floats; further arrays are columns. ``.parquet``: its only column of lists of floats; further columns.

    Attributes:
        rows, width: n and D.

    Raises:
        UserError: the file can't be read, or is not in one of these forms.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        read: Callable[[Path], tuple[_Array | _Column, dict[str, Any]]]
        read = _parquet if file.suffix == ".parquet" else _numpy
        try:
            found = read(file)
        except UserError:
            raise
        except Exception as error:  # broken files raise many types
            first = first_line(error)
            objects = any(words in first for words in ("Python objects", "Object arrays", "allow_pickle"))
            reason = "it holds Python objects, which can run any code" if objects else first
            raise UserError(f"dataset.path: {file}: can't be read as {file.suffix[1:]} ({reason})") from None
        self._vectors: _Array | _Column = found[0]
        self.columns = found[1]
        self.rows: int = self._vectors.shape[0]
        self.width: int = self._vectors.shape[1]

    def blocks(self) -> Iterator[Vectors]:
        """Yield the vectors in order, (b, D) at a time."""
        return self._vectors.blocks()


class _Array:
    """Vectors of an array, memory-mapped if it is a .npy file."""

    def __init__(self, array: Vectors) -> None:
        self.array, self.shape = array, array.shape

    def blocks(self) -> Iterator[Vectors]:
        return (self.array[start : start + BLOCK] for start in range(0, len(self.array), BLOCK))


class _Column:
    """Vectors of a column of lists in a Parquet file."""

    def __init__(self, file: Path, name: str, shape: tuple[int, int]) -> None:
        self.file, self.name, self.shape = file, name, shape

    def blocks(self) -> Iterator[Vectors]:
        from pyarrow.parquet import ParquetFile

        for batch in ParquetFile(self.file).iter_batches(BLOCK, columns=[self.name]):
            yield batch.column(0).flatten().to_numpy(zero_copy_only=False).reshape(len(batch), self.shape[1])


def _numpy(file: Path) -> tuple[_Array, dict[str, Any]]:
    if file.suffix == ".npy":
        return _Array(_two_dimensional(np.load(file, mmap_mode="r", allow_pickle=False), file, "")), {}
    with np.load(file, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    names = ["vectors"] if "vectors" in arrays else [
        name for name, array in arrays.items() if array.ndim == 2 and array.dtype.kind == "f"
    ]  # fmt: skip
    if len(names) != 1:
        raise UserError(
            f"dataset.path: {file}: expected an array 'vectors', or one array with two dimensions of floats; "
            f"found {', '.join(f'{name} {array.shape} {array.dtype}' for name, array in arrays.items()) or 'none'}"
        )
    return _Array(_two_dimensional(arrays.pop(names[0]), file, f" {names[0]}")), arrays


def _two_dimensional(array: Any, file: Path, name: str) -> Vectors:
    if array.ndim != 2 or array.dtype.kind != "f" or not array.size:
        raise UserError(
            f"dataset.path: {file}:{name} expected vectors (n, D) of float16 or float32, found {array.shape} of "
            f"{array.dtype}"
        )
    found: Vectors = array
    return found


def _parquet(file: Path) -> tuple[_Column, dict[str, Any]]:
    import pyarrow.compute as pc
    from pyarrow import types
    from pyarrow.parquet import ParquetFile

    source = ParquetFile(file)
    lists = [
        field.name
        for field in source.schema_arrow
        if any(kind(field.type) for kind in (types.is_list, types.is_fixed_size_list, types.is_large_list))
        and types.is_floating(field.type.value_type)
    ]
    if len(lists) != 1:
        found = ", ".join(f"{field.name} {field.type}" for field in source.schema_arrow)
        raise UserError(f"dataset.path: {file}: expected one column of lists of floats, found {found}")
    lengths: set[Any] = set()
    for batch in source.iter_batches(BLOCK, columns=lists):
        lengths |= set(pc.unique(pc.list_value_length(batch.column(0))).to_pylist())
    if len(lengths) != 1 or None in lengths:
        sizes = ", ".join(sorted(map(str, lengths)))
        raise UserError(f"dataset.path: {file}: expected lists of one length in {lists[0]}, found lengths {sizes}")
    others = [name for name in source.schema_arrow.names if name not in lists]
    table = source.read(columns=others)
    columns = {name: np.array(table.column(name).to_pylist(), dtype=object) for name in others}
    return _Column(file, lists[0], (source.metadata.num_rows, lengths.pop())), columns
