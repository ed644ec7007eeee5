"""Recall of HNSW graphs on codes of which many are equal: pgvector and usearch, of all items and of different codes.

``python -m benchmarks.hnsw --database postgresql://... FOLDER...``; each FOLDER is ``results/<study>/codes/<cell>``.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.operations.search.export.pgvector import bit_strings

Packed = npt.NDArray[np.uint8]
Distances = npt.NDArray[np.int32]
RESULTS, QUERIES, EF = (10, 100, 1000), 100, (40, 200, 1000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--database", required=True, help="address of a database with pgvector 0.8; tables are replaced"
    )
    parser.add_argument("folders", nargs="+", type=Path)
    options = parser.parse_args()
    for folder in options.folders:
        codes, queries = np.load(folder / "database_codes.npy"), np.load(folder / "query_codes.npy")[:QUERIES]
        bits = json.loads((folder / "codes.json").read_text())["code_length"]
        exact = np.sort(np.bitwise_count(queries[:, None] ^ codes[None]).sum(2, dtype=np.int32), axis=1)
        different, times = np.unique(codes, axis=0, return_counts=True)
        print(f"\n{folder.name}: {len(codes):,} codes, {len(different):,} different, one of them {times.max():,} times")
        for name, search in chain(_pgvector(options.database, codes, queries, bits), _usearch(codes, queries, bits)):
            for count in RESULTS:
                start = time.perf_counter()
                found = search(count)
                took = (time.perf_counter() - start) / len(queries) * 1e3
                near = [np.sum(row <= far[count - 1]) / count for row, far in zip(found, exact, strict=True)]
                fewest = min(len(row) for row in found)
                print(
                    f"| {name} | {count} | {np.mean(near):.3f} | {min(near):.2f} | {fewest} | {took:.1f} |", flush=True
                )


Found = list[Distances]


def _pgvector(address: str, codes: Packed, queries: Packed, bits: int) -> Iterator[tuple[str, Callable[[int], Found]]]:
    import psycopg

    with psycopg.connect(address, autocommit=True) as connection:
        run: Callable[[str], Any] = connection.execute
        run("CREATE EXTENSION IF NOT EXISTS vector")
        # One process builds; a scan of all codes would be exact.
        run("SET maintenance_work_mem = '1GB'; SET max_parallel_maintenance_workers = 0; SET enable_sort = off")
        run(f"DROP TABLE IF EXISTS items, codes; CREATE TABLE items (id bigint, code bit({bits}))")
        with connection.cursor().copy("COPY items FROM STDIN") as copy:
            copy.write("".join(f"{row}\t{text}\n" for row, text in enumerate(bit_strings(codes, bits))))
        run("CREATE TABLE codes AS SELECT DISTINCT code FROM items; CREATE INDEX ON items (code)")
        for table, name in (("items", "all items"), ("codes", "different codes")):
            start = time.perf_counter()
            run(f"CREATE INDEX {table}_nearest ON {table} USING hnsw (code bit_hamming_ops)")
            took, (size,) = time.perf_counter() - start, run(f"SELECT pg_relation_size('{table}_nearest')").fetchone()
            print(f"pgvector, {name}: {took:.0f} s, {size / len(codes):.0f} bytes an item", flush=True)
            run("ANALYZE items, codes")
            for ef in EF:
                for scan in ("off", "strict_order"):

                    def search(count: int, table: str = table, ef: int = ef, scan: str = scan) -> Found:
                        run(f"SET hnsw.ef_search = {ef}; SET hnsw.iterative_scan = {scan}")
                        return [_rows(run, table, text, count) for text in bit_strings(queries, bits)]

                    yield f"pgvector, {name} | {ef}{', iterative' if scan != 'off' else ''}", search


def _rows(run: Callable[[str], Any], table: str, query: str, count: int) -> Distances:
    nearest = f"SELECT code, (code <~> B'{query}')::int AS far FROM {table} ORDER BY code <~> B'{query}' LIMIT {count}"
    if table == "codes":
        nearest = f"SELECT code, far FROM ({nearest}) AS nearest JOIN items USING (code) ORDER BY far LIMIT {count}"
    return np.array([far for _, far in run(nearest).fetchall()], np.int32)


def _usearch(codes: Packed, queries: Packed, bits: int) -> Iterator[tuple[str, Callable[[int], Found]]]:
    from usearch.index import Index, MetricKind, ScalarKind

    index = Index(ndim=bits, metric=MetricKind.Hamming, dtype=ScalarKind.B1)
    start = time.perf_counter()
    index.add(np.arange(len(codes), dtype=np.uint64), codes, threads=1)
    print(f"usearch, all items: {time.perf_counter() - start:.0f} s", flush=True)
    for ef in (64, 256, 1024):

        def search(count: int, ef: int = ef) -> Found:
            index.expansion_search = ef
            return [index.search(query, count, threads=1).distances.astype(np.int32) for query in queries]

        yield f"usearch, all items | {ef}", search


if __name__ == "__main__":
    main()
