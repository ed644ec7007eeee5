"""Measure kinds of index on one cell's codes: what they find, how fast and in how much memory."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.codes import unpack_labels
from pipeline.operations.model.choice import named
from pipeline.operations.search.distinct import Distinct, Ids
from pipeline.operations.search.items import Packed
from pipeline.params import Params
from pipeline.runtime import stored
from pipeline.runtime.layout import Cell, Layout
from pipeline.runtime.outputs import atomic_folder, read_json

#: Rank of recall and mAP.
RANK = 100
#: What a product quantizer of 8 bits a part needs at least.
TRAINING_VECTORS = 256
#: Kinds and parameters that are measured; each is one row.
SETTINGS: list[tuple[str, dict[str, int]]] = [
    ("flat", {}),
    *[("hnsw", {"search": search}) for search in (16, 64, 256, 1024)],
    *[("ivf", {"probes": probes}) for probes in (1, 4, 16, 64)],
    *[("multihash", {"flips": flips}) for flips in (0, 1, 2)],
]


def measure(params: Params, name: str) -> str:
    """Build every kind of index over a cell's database codes, search it with the query codes, and write a table.

    Writes ``results/<study>/index/<cell>.measured/``: ``kinds.csv``, ``kinds.md`` and ``kinds.png``. Where the backbone
    is frozen, the same images are searched by their float features as well: exactly, and by a product quantizer
    (faiss IVF-PQ) with as many bytes as the codes, or with the nearest smaller number of bytes that divides D. The
    product quantizer is left out below 256 database images, which faiss needs to train it.

    - recall: part of the first 100 results that are as near as the exact 100th (so equal distances don't matter); of
      float search, that the exact float search finds too.
    - mAP@100: with the study's labels; average precision over the relevant results found. Images with equal codes are
      in random order.
    - queries per second: one thread, all queries in one call, the best of three calls (float search: one call).
    - MiB: of the index, as it is written to disk.

    Args:
        params: the content of params.yaml.
        name: a cell or group, as for ``build``.

    Returns:
        the table.

    Raises:
        UserError: unknown cell, or its results are missing.
    """
    layout = Layout(params["study"])
    cell = named(params, name, "measure")
    task = _Task(layout, cell)
    rows = [*(task.binary(*setting) for setting in SETTINGS), *task.floats(params)]
    table = pd.DataFrame(rows)
    target = layout.folder / "index" / f"{cell.name}.measured"
    with atomic_folder(target, target.with_name(f".{target.name}.partial")) as folder:
        table.to_csv(folder / "kinds.csv", index=False)
        (folder / "kinds.md").write_text(_markdown(table), encoding="utf-8")
        _plot(table, cell, folder / "kinds.png")
    return f"{_markdown(table)}\n{target}: kinds.csv, kinds.md, kinds.png"


class _Task:
    """The codes and labels of a cell's queries and database.

    Args:
        layout: the study's folders.
        cell: the cell.
    """

    def __init__(self, layout: Layout, cell: Cell) -> None:
        self.layout, folder = layout, layout.codes(cell)
        classes = read_json(folder / "codes.json")["num_classes"]
        self.bits = 8 * -(-cell.bits // 8)
        self.codes: dict[str, Packed] = {}
        self.labels: dict[str, npt.NDArray[np.uint8]] = {}
        self.rows: dict[str, Ids] = {}
        for part in ("query", "database"):
            self.codes[part] = stored.array(folder / f"{part}_codes.npy", "uint8", 2)
            self.labels[part] = unpack_labels(stored.array(folder / f"{part}_labels.npy", "uint8", 2), classes)
            self.rows[part] = stored.array(folder / f"{part}_indices.npy", "int64", 1)
        # Items with equal codes are found in their order, and a dataset may be ordered by class.
        order = np.random.default_rng(0).permutation(len(self.rows["database"]))
        self.codes["database"], self.labels["database"], self.rows["database"] = (
            self.codes["database"][order], self.labels["database"][order], self.rows["database"][order],
        )  # fmt: skip
        self.rank = min(RANK, len(self.codes["database"]))
        exact = Distinct.of("flat", [self.codes["database"]])
        #: (q,) distance of each query's exact 100th.
        self.farthest = exact.search(self.codes["query"], self.rank)[0].max(axis=1)

    def binary(self, kind: str, parameters: dict[str, int]) -> dict[str, Any]:
        """The row of one kind with its parameters."""
        start = time.perf_counter()
        index = Distinct.of(kind, [self.codes["database"]], **parameters)
        seconds = time.perf_counter() - start
        (distances, ids), rate = _timed(lambda: index.search(self.codes["query"], self.rank), len(self.codes["query"]))
        found = (ids >= 0) & (distances <= self.farthest[:, None])
        return self._row(kind, parameters, float(found.mean()), ids, rate, index.size, seconds)

    def floats(self, params: Params) -> Iterator[dict[str, Any]]:
        """Rows of a search by float features, exact and by a product quantizer; none if there are no features."""
        if not params["backbone"]["frozen"]:
            return
        import faiss

        from pipeline.features.views import inputs

        features = inputs(params, self.layout, training=False).images
        query, database = (np.ascontiguousarray(features[self.rows[part], 0]) for part in ("query", "database"))
        for vectors in (query, database):
            faiss.normalize_L2(vectors)
        width, exact = query.shape[1], None
        lists = max(1, round(len(database) ** 0.5))
        size = next(size for size in range(min(self.bits // 8, width), 0, -1) if width % size == 0)
        product = faiss.IndexIVFPQ(faiss.IndexFlatL2(width), width, lists, size, 8)
        product.nprobe = max(1, lists // 16)
        searches = [("float, exact", faiss.IndexFlatL2(width)), ("float, IVF-PQ", product)]
        for kind, index in searches if len(database) >= TRAINING_VECTORS else searches[:1]:
            start = time.perf_counter()
            if not index.is_trained:
                index.train(database)
            index.add(database)
            seconds = time.perf_counter() - start
            (_, ids), rate = _timed(lambda index=index: index.search(query, self.rank), len(query), 1)  # type: ignore[misc]
            exact = ids if exact is None else exact
            recall = float(np.mean([len(np.intersect1d(*pair)) / self.rank for pair in zip(ids, exact, strict=True)]))
            said = {"probes": product.nprobe, "bytes": size} if index is product else {"bytes": 4 * width}
            yield self._row(kind, said, recall, ids, rate, len(faiss.serialize_index(index)), seconds)

    def _row(
        self, kind: str, parameters: dict[str, int], recall: float, ids: Ids, rate: float, size: int, seconds: float
    ) -> dict[str, Any]:
        return {
            "kind": kind,
            "parameters": ", ".join(f"{name} {value}" for name, value in parameters.items()),
            f"recall@{self.rank}": recall,
            f"mAP@{self.rank}": self._mean_average_precision(ids),
            "queries_per_second": rate,
            "MiB": size / 2**20,
            "build_seconds": seconds,
        }

    def _mean_average_precision(self, ids: Ids) -> float:
        """Over the results that were found, in their order; 0 for a query without a relevant result."""
        scores = []
        for own, labels in zip(ids, self.labels["query"], strict=True):
            relevant = (self.labels["database"][own[own >= 0]] & labels).any(axis=1)
            ranks = np.flatnonzero(relevant) + 1
            scores.append(float(np.mean(np.arange(1, len(ranks) + 1) / ranks)) if len(ranks) else 0.0)
        return float(np.mean(scores))


def _timed(run: Callable[[], Any], queries: int, repeats: int = 3) -> tuple[Any, float]:
    """The result of a search with one thread, and its queries per second."""
    from threadpoolctl import threadpool_limits

    best = float("inf")
    with threadpool_limits(1):
        for _ in range(repeats):
            start = time.perf_counter()
            found = run()
            best = min(best, time.perf_counter() - start)
    return found, queries / best


def _markdown(table: pd.DataFrame) -> str:
    recall, precision = (name for name in table.columns if "@" in name)
    lines = [
        f"| kind | parameters | {recall} | {precision} | queries/s | MiB | built in s |",
        "| :--- | :--- " + "| ---: " * 5 + "|",
    ]
    for row in table.to_dict("records"):
        lines.append(
            f"| {row['kind']} | {row['parameters']} | {row[recall]:.3f} | {row[precision]:.4f} "
            f"| {row['queries_per_second']:,.0f} | {row['MiB']:.1f} | {row['build_seconds']:.1f} |"
        )
    return "\n".join(lines) + "\n"


def _plot(table: pd.DataFrame, cell: Cell, file: Path) -> None:
    """Recall against queries per second, a line for each kind."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    recall = next(name for name in table.columns if name.startswith("recall"))
    for kind, rows in table.groupby("kind", sort=False):
        axes.plot(rows["queries_per_second"], rows[recall], "o-" if len(rows) > 1 else "s", label=kind)
    axes.set_xscale("log")
    axes.set_xlabel("queries per second, one thread")
    axes.set_ylabel(recall)
    axes.set_ylim(0, 1.03)
    axes.set_title(f"Search among the database codes of {cell.name}")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(file, dpi=150)
