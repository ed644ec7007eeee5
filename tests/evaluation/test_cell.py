"""What ``evaluate`` writes about a cell, with and without the metrics that only some studies ask for."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.codes import pack, pack_labels
from pipeline.evaluation.cell import evaluate_cell
from pipeline.operations.tracking.content import final_metrics
from pipeline.retrieval import evaluate
from pipeline.runtime.layout import Cell
from pipeline.runtime.outputs import read_json, write_json
from tests.test_retrieval import Problem, problem

OFF: dict[str, Any] = {"ties": "expected", "top_k": None, "precision_at": [5, 50], "recall_at": [], "ndcg_at": []}


@pytest.fixture
def data() -> Problem:
    return problem(0, 12, 90, 8)


@pytest.fixture
def stored(data: Problem, tmp_path: Path) -> Path:
    """The folders ``train`` and ``codes`` of a cell."""
    (tmp_path / "codes").mkdir()
    (tmp_path / "train").mkdir()
    for part, codes, labels in (("query", *data[:2]), ("database", *data[2:])):
        np.save(tmp_path / "codes" / f"{part}_codes.npy", pack(codes))
        np.save(tmp_path / "codes" / f"{part}_labels.npy", pack_labels(labels))
    write_json(tmp_path / "codes" / "codes.json", {"code_length": 8, "num_classes": 3, "quantization_error": 0.5})
    write_json(tmp_path / "train" / "training.json", {"selection": "last"})
    (tmp_path / "train" / "history.csv").write_text("epoch,loss\n1,0.5\n")
    return tmp_path


def measured(stored: Path, name: str, **changes: Any) -> Path:
    target = stored / name
    target.mkdir()
    evaluate_cell({**OFF, **changes}, Cell("csq", "wr", 8, 0), stored / "train", stored / "codes", target)  # type: ignore[typeddict-item]
    return target


def test_recall_and_ndcg_are_written_where_a_study_asks_for_them(data: Problem, stored: Path) -> None:
    without = read_json(measured(stored, "off") / "metrics.json")
    assert [name for name in without if "@" in name] == ["precision@5", "precision@50", "precision@r2"]
    folder = measured(stored, "on", recall_at=[50, 5], ndcg_at=[7])
    found = read_json(folder / "metrics.json")
    added = {name: value for name, value in found.items() if name not in without}
    assert {name: value for name, value in found.items() if name in without} == without
    wanted = evaluate(*data, recall_at=(5, 50), ndcg_at=(7,))
    values = {"recall@50": wanted.recall_at[50], "recall@5": wanted.recall_at[5], "ndcg@7": wanted.ndcg_at[7]}
    assert added == values and list(added) == list(values)
    logged = final_metrics(folder)
    assert (logged["recall_at_50"], logged["ndcg_at_7"]) == (values["recall@50"], values["ndcg@7"])


@pytest.mark.parametrize("ties", ["stable", "optimistic", "pessimistic"])
def test_they_follow_the_rule_for_ties(data: Problem, stored: Path, ties: str) -> None:
    found = read_json(measured(stored, ties, recall_at=[9], ndcg_at=[9], ties=ties) / "metrics.json")
    wanted = evaluate(*data, recall_at=(9,), ndcg_at=(9,), ties=ties)
    assert (found["recall@9"], found["ndcg@9"]) == (wanted.recall_at[9], wanted.ndcg_at[9])
