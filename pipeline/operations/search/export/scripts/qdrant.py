"""Make a Qdrant collection of items.parquet: codes as vectors of -1 and +1, names and labels as payload."""

import argparse
import json
import sys
from pathlib import Path

try:
    import numpy as np
    import pyarrow.parquet as pq
    from qdrant_client import QdrantClient, models
    from qdrant_client.http.exceptions import ApiException
except ImportError as missing:
    sys.exit(f"error: the package {missing.name} is missing; pip install qdrant-client pyarrow numpy")

HERE = Path(__file__).resolve().parent
#: Items of one request.
BATCH = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://localhost:6333", help="the server (%(default)s)")
    parser.add_argument("--api-key", help="if the server asks for it")
    parser.add_argument("--local", metavar="FOLDER", help="no server: qdrant-client's local mode, for small tests")
    parser.add_argument("--collection", default="items", help="its name (%(default)s); it must not exist")
    options = parser.parse_args()
    where = {"path": options.local} if options.local else {"url": options.url, "api_key": options.api_key}
    client = QdrantClient(**where, timeout=60)
    if client.collection_exists(options.collection):
        sys.exit(f"error: the collection {options.collection!r} exists; name another one with --collection")
    about = json.loads((HERE / "export.json").read_text(encoding="utf-8"))
    create(client, options.collection, about["code_length"])
    print(f"{options.collection}: {upsert(client, options.collection, about['code_length']):,} items")
    client.close()


def create(client: QdrantClient, name: str, bits: int) -> None:
    """Make the collection: whole vectors on disk, one bit for each value in memory."""
    client.create_collection(
        name,
        vectors_config=models.VectorParams(size=bits, distance=models.Distance.DOT, on_disk=True),
        quantization_config=models.BinaryQuantization(binary=models.BinaryQuantizationConfig(always_ram=True)),
    )


def upsert(client: QdrantClient, name: str, bits: int) -> int:
    """Upsert all items; returns their number."""
    done = 0
    for batch in pq.ParquetFile(HERE / "items.parquet").iter_batches(BATCH):
        columns = batch.to_pydict()
        packed = np.frombuffer(b"".join(columns["code"]), np.uint8).reshape(batch.num_rows, -1)
        vectors = np.unpackbits(packed, axis=1, count=bits) * 2.0 - 1.0
        payloads = [{"name": n, "labels": labels} for n, labels in zip(columns["name"], columns["labels"], strict=True)]
        client.upsert(
            name, models.Batch(ids=columns["id"], vectors=vectors.tolist(), payloads=payloads), wait=True
        )  # fmt: skip
        done += batch.num_rows
    return done


if __name__ == "__main__":
    try:
        main()
    except ApiException as error:
        sys.exit(f"error: {' '.join(str(error).split())}")
