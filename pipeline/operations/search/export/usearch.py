"""``usearch``: an HNSW index of bits with Hamming distance in one file."""

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.operations.search.export import Target, _parquet
from pipeline.operations.search.export._source import Source
from pipeline.runtime.errors import UserError

_README = """\
index.usearch  an HNSW graph of b1 scalars ({bits} dimensions) with Hamming distance; keys are ids
items.parquet  id, name and labels

Find the ten nearest of item 0 (packages usearch, pyarrow; other languages read index.usearch, too):

    import pyarrow.parquet as pq
    from usearch.index import Index
    index = Index.restore("index.usearch", view=True)
    items = pq.read_table("items.parquet")
    found = index.search(index.get(0), 10)
    for key, distance in zip(found.keys.tolist(), found.distances.tolist()):
        item = items.slice(key, 1).to_pylist()[0]
        print(int(distance), key, item["labels"], item["name"])

A query of your own is np.packbits(bits), ceil({bits} / 8) = {width} bytes. view=True leaves the graph on disk.
The graph is approximate. Among many equal codes it misses a part of the nearest: docs/search-exports.md has numbers.
index.search(query, 10, exact=True) compares all codes; index.expansion_search = 1024 looks at more of the graph.
"""


class USearch(Target):
    """One file for usearch. The graph is built in memory, about 160 bytes an item besides the code."""

    def write(self, source: Source, folder: Path) -> None:
        index = _empty(source.code_length)
        for block in source.blocks():
            # One thread: the graph depends on the order in which codes are added, and so does the file.
            index.add(np.array(block.ids, np.uint64), block.codes, threads=1)
        index.save(str(folder / "index.usearch"))
        _parquet.write(source, folder)

    def readme(self, source: Source) -> str:
        return _README.format(width=source.width, bits=source.code_length)


def _empty(bits: int) -> Any:
    try:
        from usearch.index import Index, MetricKind, ScalarKind
    except ImportError:
        raise UserError(
            "the target usearch needs the package usearch; install it with `pip install -r requirements-search.txt`"
        ) from None
    return Index(ndim=bits, metric=MetricKind.Hamming, dtype=ScalarKind.B1)
