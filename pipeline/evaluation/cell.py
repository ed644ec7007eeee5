"""The measures of one cell that need its codes but not torch."""

import shutil
from collections.abc import Iterable
from pathlib import Path

from pipeline.codes import unpack, unpack_labels
from pipeline.evaluation.balance import balance
from pipeline.params import schema
from pipeline.retrieval import Retrieval, evaluate
from pipeline.runtime import stored
from pipeline.runtime.layout import Cell
from pipeline.runtime.outputs import read_json, write_csv, write_json


def evaluate_cell(settings: schema.Evaluation, cell: Cell, trained: Path, codes: Path, target: Path) -> None:
    """Measure a cell.

    Writes ``metrics.json`` (retrieval of the queries, balance of the database's codes, training), ``curves.csv``
    (precision and recall by rank and by Hamming radius), ``bits.csv`` (the mean of each bit) and a copy of
    ``history.csv``.

    Args:
        settings: params.yaml's ``evaluation`` section.
        cell: method, quantizer, code length and seed.
        trained, codes: the cell's folders from ``train`` and ``encode``.
        target: the folder to write into.
    """
    about = read_json(codes / "codes.json")
    sides = []
    for part in ("query", "database"):
        packed, labels = (stored.array(codes / f"{part}_{kind}.npy", "uint8", 2) for kind in ("codes", "labels"))
        sides += [unpack(packed, about["code_length"]), unpack_labels(labels, about["num_classes"])]
    result = evaluate(
        *sides,
        top_k=settings["top_k"],
        precision_at=settings["precision_at"],
        recall_at=settings["recall_at"],
        ndcg_at=settings["ndcg_at"],
        ties=settings["ties"],
    )
    balanced = balance(sides[2])
    metrics = {
        "method": cell.method,
        "quantizer": cell.quantizer,
        "bits": cell.bits,
        "seed": cell.seed,
        **_retrieval_numbers(result),
        **balanced.numbers(),
        "quantization_error": about["quantization_error"],
        **read_json(trained / "training.json"),
    }
    write_json(target / "metrics.json", metrics)
    write_csv(target / "curves.csv", ("by", "at", "precision", "recall"), _points(result))
    write_csv(target / "bits.csv", ("bit", "mean"), enumerate(balanced.bit_means.tolist()))
    shutil.copyfile(trained / "history.csv", target / "history.csv")


def _retrieval_numbers(result: Retrieval) -> dict[str, float | int]:
    pessimistic, optimistic = result.bounds
    numbers: dict[str, float | int] = {
        "map": result.mean_average_precision,
        "map_pessimistic": pessimistic,
        "map_optimistic": optimistic,
    }
    numbers |= {f"precision@{n}": value for n, value in result.precision_at.items()}
    if len(result.by_radius.at) > 2:
        numbers["precision@r2"] = float(result.by_radius.precision[2])
    numbers |= {f"recall@{n}": value for n, value in result.recall_at.items()}
    numbers |= {f"ndcg@{n}": value for n, value in result.ndcg_at.items()}
    numbers |= {"queries": len(result.average_precision), "queries_without_relevant": result.queries_without_relevant}
    return numbers


def _points(result: Retrieval) -> Iterable[tuple[str, int, float, float]]:
    for name, curve in (("rank", result.by_rank), ("radius", result.by_radius)):
        for at, precision, recall in zip(curve.at, curve.precision, curve.recall, strict=True):
            yield name, int(at), float(precision), float(recall)
