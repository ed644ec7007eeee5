"""``qdrant``: Parquet, and a script that upserts codes as vectors of -1 and +1: Qdrant has no Hamming distance."""

import shutil
from pathlib import Path

from pipeline.operations.search.export import Target, _parquet
from pipeline.operations.search.export._source import Source

SCRIPT = Path(__file__).parent / "scripts" / "qdrant.py"
_README = """\
items.parquet  id, name, labels, code ({width} bytes, packed as numpy.packbits packs)
load.py        makes the collection and upserts the items (packages qdrant-client, pyarrow, numpy)

Qdrant has neither vectors of bits nor a Hamming distance, and imports no files. load.py therefore makes vectors of -1
and +1 with the metric Dot. Their ranking is that of the Hamming distance: distance = ({bits} - score) / 2. A vector
takes {floats} bytes and stays on disk; binary quantization keeps one bit for each value in memory.

In this folder, with a Qdrant server:

    python load.py --url http://localhost:6333

Find the ten nearest of item 0:

    from qdrant_client import QdrantClient
    client = QdrantClient("http://localhost:6333")
    for point in client.query_points("items", query=0, limit=10, with_payload=True).points:
        print(round(({bits} - point.score) / 2), point.id, point.payload["labels"], point.payload["name"])

query=0 leaves out item 0 itself; a query of your own is a list of {bits} values, -1 or +1.
"""


class Qdrant(Target):
    """A Parquet file and a script that loads it."""

    def write(self, source: Source, folder: Path) -> None:
        _parquet.write(source, folder, _parquet.binary)
        shutil.copyfile(SCRIPT, folder / "load.py")

    def readme(self, source: Source) -> str:
        return _README.format(width=source.width, bits=source.code_length, floats=4 * source.code_length)
