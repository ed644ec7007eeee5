"""Seconds and memory to build and search indexes of 60,000, 1 million and 10 million codes, by kind.

    python -m benchmarks.search [--sizes 60000 1000000] [--kinds flat hnsw] [--bits 64]

Codes are drawn as after some training: 1,000 centers with a tenth of the bits flipped, in blocks, so that memory grows
only with the index. *Ours* is ``Index.nearest``, which searches the different codes and sorts their items by distance
and id; *faiss* is the loop of faiss's own benchmarks: ``search`` of all queries at once in an ``IndexBinaryFlat`` of
all codes. Both use one thread. Building starts from an index's items, which are there.
"""

import argparse
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from threadpoolctl import threadpool_limits

from pipeline.operations.search import kinds
from pipeline.operations.search.distinct import files
from pipeline.operations.search.index import ITEMS, MODEL, Index, publish
from pipeline.operations.search.items import Items, Packed, Row

BLOCK, QUERIES, COUNT, REPEATS = 100_000, 100, 100, 3


def drawn(size: int, bits: int, seed: int = 0) -> Iterator[Packed]:
    """Yield packed codes (b, bits / 8) in blocks."""
    centers = np.random.default_rng(1).integers(0, 256, (1000, bits // 8), dtype=np.uint8)
    random = np.random.default_rng(seed)
    for start in range(0, size, BLOCK):
        rows = min(BLOCK, size - start)
        flipped = np.packbits(random.random((rows, bits), np.float32) < 0.1, axis=1)
        yield centers[random.integers(0, len(centers), rows)] ^ flipped


def filled(folder: Path, size: int, bits: int) -> None:
    """Write the items of drawn codes, which have neither names nor thumbnails."""
    (folder / MODEL).mkdir(parents=True)
    items = Items(folder / ITEMS, writable=True)
    for block in drawn(size, bits):
        items.add(Row("", [], b"", code, None) for code in block)
    items.close()


def best(run: Callable[[], object]) -> float:
    """The least seconds of a few runs."""
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def row(folder: Path, kind: str, size: int, bits: int) -> str:
    queries = next(drawn(QUERIES, bits, seed=2))
    with threadpool_limits(1):
        start = time.perf_counter()
        publish(folder, kind, {"code_length": bits})
        built = time.perf_counter() - start
        index = Index(folder)
        each = best(lambda: [index.nearest(query[None], COUNT) for query in queries]) / QUERIES
        ours = best(lambda: index.nearest(queries, COUNT)) / QUERIES
        megabytes = sum(file.stat().st_size for file in files(index.folder / index.manifest["index"])) / 2**20
        bare = kinds.made(kind, np.concatenate(list(drawn(size, bits)))) if kind == "flat" else None
        faiss = f"{1000 * best(lambda: bare.search(queries, COUNT)) / QUERIES:.3f}" if bare else "not built"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    return (
        f"| {kind} | {size:,} | {built:.1f} | {megabytes:,.0f} | {peak:,.0f} | {1000 * each:.3f} | {1000 * ours:.3f} "
        f"| {faiss} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[60_000, 1_000_000, 10_000_000])
    parser.add_argument("--kinds", nargs="+", default=list(kinds.KINDS))
    parser.add_argument("--bits", type=int, default=64)
    given = parser.parse_args()
    names = (
        "codes", "build (s)", "index (MiB)", "peak so far (MiB)", "one query (ms)", "of 100 (ms)", "faiss, of 100 (ms)",
    )  # fmt: skip
    print(f"| kind | {' | '.join(names)} |\n| --- |{' ---: |' * len(names)}")
    for size in given.sizes:
        with TemporaryDirectory() as folder:
            filled(Path(folder) / "index", size, given.bits)
            for kind in given.kinds:
                print(row(Path(folder) / "index", kind, size, given.bits), flush=True)


if __name__ == "__main__":
    main()
