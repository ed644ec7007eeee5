"""``numpy``: packed codes as codes.npy; ids, names and labels as Parquet."""

from pathlib import Path

import numpy as np

from pipeline.operations.search.export import Target, _parquet
from pipeline.operations.search.export._source import Source

_README = """\
codes.npy      ({count}, {width}) uint8, packed as numpy.packbits packs: the first bit of a code is the highest bit of
               its first byte; the bits that fill the last byte are 0
items.parquet  id, name and labels of the item in each row of codes.npy

Read the files and find the ten nearest of item 0 (NumPy 2, pyarrow):

    import numpy as np
    import pyarrow.parquet as pq
    codes = np.load("codes.npy", mmap_mode="r")
    items = pq.read_table("items.parquet")
    distances = np.bitwise_count(codes ^ codes[0]).sum(axis=1)
    nearest = np.argsort(distances, kind="stable")[:10]
    for row in items.take(nearest).to_pylist():
        print(distances[row["id"]], row["id"], row["labels"], row["name"])

The bits as an array ({count}, {bits}) of 0 and 1: np.unpackbits(codes, axis=1, count={bits}).
"""


class NumPy(Target):
    """Files for NumPy and everything that reads its arrays."""

    def write(self, source: Source, folder: Path) -> None:
        header = {"descr": "|u1", "fortran_order": False, "shape": (source.count, source.width)}
        with (folder / "codes.npy").open("wb") as stream:
            np.lib.format.write_array_header_1_0(stream, header)
            for block in source.blocks():
                stream.write(np.ascontiguousarray(block.codes).tobytes())
        _parquet.write(source, folder)

    def readme(self, source: Source) -> str:
        return _README.format(count=source.count, width=source.width, bits=source.code_length)
