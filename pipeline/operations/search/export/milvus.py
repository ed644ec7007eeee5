"""``milvus``: Parquet as Milvus's bulk import reads it, with the codes as a BINARY_VECTOR."""

import shutil
from pathlib import Path

from pipeline.operations.search.export import Target, _parquet
from pipeline.operations.search.export._source import Block, Source
from pipeline.runtime.errors import UserError

SCRIPT = Path(__file__).parent / "scripts" / "milvus.py"
#: Milvus's limits: bytes of a VARCHAR, elements of an ARRAY.
BYTES, ELEMENTS = 65_535, 4096
_README = """\
items.parquet  id (INT64), name (VARCHAR), labels (ARRAY of VARCHAR), code (BINARY_VECTOR of {dim} dimensions)
load.py        makes the collection and inserts the items (package pymilvus)

Milvus takes lengths that are multiples of 8, so a code of {bits} bits has {dim} dimensions; the bits added are 0 and
change no distance. The first bit of a code is the highest bit of its first byte (numpy.packbits).

In this folder, with a Milvus server:

    python load.py --url http://localhost:19530

Many millions of items are faster by bulk import: make the collection, copy items.parquet into the server's bucket, and
name its path there.

    python load.py --url http://localhost:19530 --empty
    curl http://localhost:19530/v2/vectordb/jobs/import/create -H "Content-Type: application/json" \\
        -d '{{"collectionName": "items", "files": [["items.parquet"]]}}'

Find the ten nearest of item 0:

    from pymilvus import MilvusClient
    client = MilvusClient("http://localhost:19530")
    code = client.get("items", ids=[0], output_fields=["code"])[0]["code"][0]
    for row in client.search("items", data=[code], limit=10, output_fields=["name", "labels"])[0]:
        print(int(row["distance"]), row["id"], row["entity"]["labels"], row["entity"]["name"])

load.py makes the index BIN_FLAT, which compares all codes. --index BIN_IVF_FLAT is approximate and faster.
"""


class Milvus(Target):
    """A Parquet file and a script that loads it."""

    def write(self, source: Source, folder: Path) -> None:
        for block in source.blocks():
            _check(block)
        _parquet.write(source, folder, _parquet.lists)
        shutil.copyfile(SCRIPT, folder / "load.py")

    def readme(self, source: Source) -> str:
        return _README.format(bits=source.code_length, dim=8 * source.width)


def _check(block: Block) -> None:
    for id_, name, labels in zip(block.ids, block.names, block.labels, strict=True):
        if max(len(text.encode()) for text in (name, *labels)) > BYTES:
            raise UserError(f"item {id_}: its name or a label takes more than {BYTES:,} bytes, Milvus's limit")
        if len(labels) > ELEMENTS:
            raise UserError(f"item {id_}: {len(labels):,} labels; Milvus takes at most {ELEMENTS:,}")
