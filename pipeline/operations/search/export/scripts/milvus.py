"""Make a Milvus collection of items.parquet: id, name, labels, and code as a BINARY_VECTOR with Hamming distance."""

import argparse
import json
import sys
from pathlib import Path

try:
    import pyarrow.parquet as pq
    from pymilvus import DataType, MilvusClient
    from pymilvus.exceptions import MilvusException
except ImportError as missing:
    sys.exit(f"error: the package {missing.name} is missing; pip install pymilvus pyarrow")

HERE = Path(__file__).resolve().parent
#: Items of one insert.
BATCH = 2000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://localhost:19530", help="the server (%(default)s)")
    parser.add_argument("--token", default="", help="user:password, if the server asks for it")
    parser.add_argument("--collection", default="items", help="its name (%(default)s); it must not exist")
    parser.add_argument("--index", default="BIN_FLAT", choices=["BIN_FLAT", "BIN_IVF_FLAT"], help="(%(default)s)")
    parser.add_argument("--empty", action="store_true", help="make the collection and insert nothing")
    options = parser.parse_args()
    client = MilvusClient(options.url, token=options.token)
    if client.has_collection(options.collection):
        sys.exit(f"error: the collection {options.collection!r} exists; name another one with --collection")
    create(client, options.collection, options.index)
    if not options.empty:
        print(f"{options.collection}: {insert(client, options.collection):,} items")


def create(client: MilvusClient, name: str, kind: str) -> None:
    """Make the collection with its index."""
    about = json.loads((HERE / "export.json").read_text(encoding="utf-8"))
    schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("name", DataType.VARCHAR, max_length=65_535)
    schema.add_field(
        "labels", DataType.ARRAY, element_type=DataType.VARCHAR, max_capacity=4096, max_length=65_535
    )  # fmt: skip
    schema.add_field("code", DataType.BINARY_VECTOR, dim=8 * -(-about["code_length"] // 8))
    index = MilvusClient.prepare_index_params()
    lists = {"nlist": max(1, min(65_536, round(about["count"] ** 0.5)))} if kind == "BIN_IVF_FLAT" else {}
    index.add_index("code", index_type=kind, metric_type="HAMMING", params=lists)
    client.create_collection(name, schema=schema, index_params=index)


def insert(client: MilvusClient, name: str) -> int:
    """Insert all items; returns their number."""
    done = 0
    for batch in pq.ParquetFile(HERE / "items.parquet").iter_batches(BATCH):
        rows = batch.to_pylist()
        client.insert(name, [row | {"code": bytes(row["code"])} for row in rows])
        done += len(rows)
    client.flush(name)
    client.load_collection(name)
    return done


if __name__ == "__main__":
    try:
        main()
    except MilvusException as error:
        sys.exit(f"error: {' '.join(str(error.message).split())}")
