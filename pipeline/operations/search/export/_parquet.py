"""Items as a Parquet file."""

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.operations.search.export._source import Block, Source
from pipeline.operations.search.items import Packed

FILE = "items.parquet"
#: Blocks of 4,096 items in a row group, which is what is in memory.
BLOCKS = 16


def write(source: Source, folder: Path, codes: Callable[[Packed], Any] | None = None) -> None:
    """Write ``items.parquet`` with the columns id (int64), name (string), labels (list of strings) and maybe code.

    Args:
        source: the items.
        folder: where the file is written.
        codes: the column ``code`` of packed codes (b, ceil(K / 8)); None for no such column.
    """
    empty = _table(Block([], [], [], np.zeros((0, source.width), np.uint8)), codes)
    blocks = source.blocks()
    with pq.ParquetWriter(folder / FILE, empty.schema, compression="zstd") as writer:
        while group := list(islice(blocks, BLOCKS)):
            writer.write_table(pa.concat_tables([_table(block, codes) for block in group]).combine_chunks())


def _table(block: Block, codes: Callable[[Packed], Any] | None) -> Any:
    columns = {
        "id": pa.array(block.ids, pa.int64()),
        "name": pa.array(block.names, pa.string()),
        "labels": pa.array(block.labels, pa.list_(pa.string())),
    }
    if codes is not None:
        columns["code"] = codes(block.codes)
    return pa.table(columns)


def binary(codes: Packed) -> Any:
    """Codes as a column of binary strings of ceil(K / 8) bytes each."""
    width = codes.shape[1]
    return pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(width), len(codes), [None, pa.py_buffer(np.ascontiguousarray(codes))]
    )


def lists(codes: Packed) -> Any:
    """Codes as a column of lists of ceil(K / 8) uint8 each."""
    width = codes.shape[1]
    offsets = pa.array(np.arange(0, codes.size + 1, width, dtype=np.int32))
    return pa.ListArray.from_arrays(offsets, pa.array(codes.ravel()))
