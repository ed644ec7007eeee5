"""Everything that is measured about one cell, without torch."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.codes import unpack, unpack_labels
from pipeline.retrieval import evaluate
from pipeline.runtime.layout import Cell
from pipeline.runtime.outputs import read_json, write_json


def evaluate_cell(settings: dict[str, Any], cell: Cell, trained: Path, codes: Path, target: Path) -> None:
    """Write ``metrics.json`` and ``history.csv`` of a cell.

    Args:
        settings: params.yaml's ``evaluation`` section.
        trained, codes: the cell's folders from ``train`` and ``encode``.
        target: folder to write into.
    """
    about = read_json(codes / "codes.json")
    sides = []
    for part in ("query", "database"):
        packed, labels = np.load(codes / f"{part}_codes.npy"), np.load(codes / f"{part}_labels.npy")
        sides += [unpack(packed, about["code_length"]), unpack_labels(labels, about["num_classes"])]
    result = evaluate(
        *sides,
        top_k=settings["top_k"],
        precision_at=tuple(settings["precision_at"]),
        ties=settings["ties"],
    )
    training = read_json(trained / "training.json")
    metrics = {
        "method": cell.method,
        "quantizer": cell.quantizer,
        "bits": cell.bits,
        "seed": cell.seed,
        "map": result.mean_average_precision,
        **{f"precision@{n}": value for n, value in result.precision_at.items()},
        "queries": len(result.average_precision),
        "queries_without_relevant": result.queries_without_relevant,
        **training,
    }
    write_json(target / "metrics.json", metrics)
    shutil.copyfile(trained / "history.csv", target / "history.csv")
