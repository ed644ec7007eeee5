"""Seconds to evaluate codes: ours, the usual loop over queries, and ranking with faiss's binary index.

    python -m benchmarks.retrieval [--quick] [--gains]

All three evaluate the same codes in the same run. The loop's mAP must equal ours under ``ties="stable"``. The loop and
faiss are timed on a part of the queries, because all queries would take minutes. The times are scaled, since both
process every query in the same way.

``--gains`` prints another table: processor seconds with and without recall and NDCG.
"""

import argparse
import itertools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from pipeline.codes import pack
from pipeline.retrieval import evaluate

Array = npt.NDArray[Any]
REPEATS = 3
#: Ranks of recall and NDCG.
GAINS = (100, 1000)


@dataclass(frozen=True)
class Size:
    queries: int
    items: int
    bits: int
    classes: int
    labels: float  # mean number of labels of an image; 1 is exactly one label
    timed: int  # number of queries that the loop and faiss are timed on

    def __str__(self) -> str:
        return f"{self.queries:,} x {self.items:,}, {self.bits} bits, {self.classes} classes"


SIZES = [
    Size(1_000, 59_000, 64, 10, 1, 200),
    Size(1_000, 59_000, 128, 10, 1, 200),
    Size(5_000, 264_648, 64, 81, 2.4, 100),
    Size(5_000, 264_648, 128, 81, 2.4, 100),
]
GAINS_SIZES = [
    Size(1_000, 59_000, 64, 10, 1, 0),
    Size(1_000, 59_000, 64, 81, 2.4, 0),
    Size(1_000, 59_000, 128, 81, 2.4, 0),
]


def problem(size: Size) -> tuple[Array, Array, Array, Array]:
    """Codes as after some training: one center per class, with a fifth of the bits flipped."""
    random = np.random.default_rng(0)
    centers = random.integers(0, 2, (size.classes, size.bits), np.int8) * 2 - 1
    n = size.queries + size.items
    own = random.integers(0, size.classes, n)
    labels = np.zeros((n, size.classes), np.uint8)
    labels[np.arange(n), own] = 1
    if size.labels > 1:
        labels |= random.random(labels.shape) < (size.labels - 1) / size.classes
    codes = np.where(random.random((n, size.bits), np.float32) < 0.2, -centers[own], centers[own])
    cut = size.queries
    return codes[:cut], labels[:cut], codes[cut:], labels[cut:]


def loop(query: Array, query_labels: Array, database: Array, labels: Array) -> float:
    """The evaluation in public repositories: for each query a product, an argsort, and a mean over the hits."""
    query, database = query.astype(np.float32), database.astype(np.float32)
    query_labels, labels = query_labels.astype(np.float32), labels.astype(np.float32)
    total = 0.0
    for code, label in zip(query, query_labels, strict=True):
        relevant = (label @ labels.T > 0).astype(np.float32)
        distance = 0.5 * (database.shape[1] - code @ database.T)
        relevant = relevant[np.argsort(distance, kind="stable")]
        hits = int(relevant.sum())
        if hits:
            ranks = np.flatnonzero(relevant) + 1.0
            total += float(np.mean(np.arange(1, hits + 1) / ranks))
    return total / len(query)


def with_faiss(query: Array, query_labels: Array, database: Array, labels: Array) -> float:
    """Rank with faiss's exact binary index and score as in ``loop``."""
    index = faiss.IndexBinaryFlat(database.shape[1])
    index.add(pack(database))
    _, order = index.search(pack(query), len(database))
    query_labels, labels = query_labels.astype(np.float32), labels.astype(np.float32)
    total = 0.0
    for label, ranking in zip(query_labels, order, strict=True):
        ranks = np.flatnonzero((label @ labels.T > 0)[ranking]) + 1.0
        if len(ranks):
            total += float(np.mean(np.arange(1, len(ranks) + 1) / ranks))
    return total / len(query)


def seconds(call: Callable[[], float], repeats: int = REPEATS) -> tuple[float, float]:
    """The shortest of several times, and the result of the call."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = call()
        times.append(time.perf_counter() - start)
    return min(times), result


def row(size: Size) -> str:
    data = problem(size)
    part = (data[0][: size.timed], data[1][: size.timed], *data[2:])
    scale = size.queries / size.timed
    expected, _ = seconds(lambda: evaluate(*data).mean_average_precision)
    stable, _ = seconds(lambda: evaluate(*data, ties="stable").mean_average_precision)
    looped, loop_map = seconds(lambda: loop(*part), 1)
    faissed, _ = seconds(lambda: with_faiss(*part), 1)
    ours = evaluate(*part, ties="stable").mean_average_precision
    if abs(ours - loop_map) > 1e-9:
        raise SystemExit(f"error: the loop's mAP is {loop_map}, ours under ties='stable' {ours}; they must be equal")
    looped, faissed = looped * scale, faissed * scale
    pairs = size.queries * size.items / expected / 1e9
    return (
        f"| {size} | {looped:.1f} | {faissed:.1f} | {stable:.2f} | {expected:.2f} | "
        f"{looped / expected:.0f} | {faissed / expected:.0f} | {pairs:.2f} |"
    )


def gains_row(size: Size) -> str:
    """Processor seconds under both rules for ties, without and with recall and NDCG; the calls take turns."""
    data, best = problem(size), dict.fromkeys(itertools.product(("expected", "stable"), ((), GAINS)), math.inf)
    for _ in range(REPEATS):
        for ties, ranks in best:
            start = time.process_time()
            evaluate(*data, recall_at=ranks, ndcg_at=ranks, ties=ties)
            best[ties, ranks] = min(best[ties, ranks], time.process_time() - start)
    return f"| {size} | " + " | ".join(f"{value:.2f}" for value in best.values()) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the smallest size only")
    parser.add_argument("--gains", action="store_true", help="the table of recall and NDCG")
    arguments = parser.parse_args()
    sizes = GAINS_SIZES if arguments.gains else SIZES
    # Compile before timing. The problem must be large enough that NumPy doesn't count it.
    warm = Size(100, 200_000, 64, 10, 2, 1)
    for ties in ("expected", "stable"):
        evaluate(*problem(warm), ndcg_at=GAINS, ties=ties)
    if arguments.gains:
        print("| size | mAP (s) | with recall and NDCG (s) | stable (s) | stable, with recall and NDCG (s) |")
        print("| --- | ---: | ---: | ---: | ---: |")
    else:
        print(
            "| size | loop (s) | faiss (s) | ours, stable (s) | ours (s) | loop / ours | faiss / ours | 10^9 pairs/s |"
        )
        print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for size in sizes[:1] if arguments.quick else sizes:
        print(gains_row(size) if arguments.gains else row(size), flush=True)


if __name__ == "__main__":
    main()
