"""What a cell's run says, read from params and result files."""

import hashlib
import json
from pathlib import Path
from typing import Any

from pipeline.runtime.layout import Cell, Layout
from pipeline.runtime.outputs import read_json
from pipeline.training.history import read as read_history

Triple = tuple[str, float, int]

#: Sections of params.yaml that shape every cell.
SHARED = ("dataset", "split", "compute", "backbone", "training")
#: What ``metrics.json`` holds beside numbers that MLflow should chart.
NOT_METRICS = {"method", "quantizer", "bits", "seed", "selection", "device", "torch", "epochs", "parameters"}


def narrowed(params: dict[str, Any], cell: Cell) -> dict[str, Any]:
    """The params that one cell depends on."""
    return {
        **{section: params[section] for section in SHARED},
        "methods": {cell.method: params["methods"][cell.method]},
        "quantizers": {cell.quantizer: params["quantizers"][cell.quantizer]},
    }


def flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted keys, just as `dvc exp run -S` takes them; lists stay values."""
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            leaves |= flat(value, f"{prefix}{key}.")
        else:
            leaves[f"{prefix}{key}"] = value
    return leaves


def cell_params(params: dict[str, Any], cell: Cell) -> dict[str, Any]:
    own = {"method": cell.method, "quantizer": cell.quantizer, "bits": cell.bits, "seed": cell.seed}
    return {**own, **flat(narrowed(params, cell))}


def cell_tags(params: dict[str, Any], cell: Cell, layout: Layout) -> dict[str, str]:
    split = read_json(layout.split(cell.seed) / "split.json")
    return {
        "kind": "cell",
        "cell": cell.name,
        "method": cell.method,
        "quantizer": cell.quantizer,
        "bits": str(cell.bits),
        "seed": str(cell.seed),
        "dataset": params["dataset"]["name"],
        "study": params["study"],
        "selection": params["training"]["selection"],
        "split_hash": split["split_hash"],
        "content_hash": split["content_hash"],
    }


def result_id(params: dict[str, Any], cell: Cell, layout: Layout) -> str:
    """What tells one result of a cell from another: its params, its split, and the weights they led to."""
    split = read_json(layout.split(cell.seed) / "split.json")
    known = json.dumps([narrowed(params, cell), split["split_hash"], split["content_hash"]], sort_keys=True)
    digest = hashlib.sha256(known.encode())
    digest.update((layout.train(cell) / "weights.safetensors").read_bytes())
    return digest.hexdigest()[:32]


def epoch_metrics(rows: list[dict[str, float]]) -> list[Triple]:
    """History rows as metrics, a step an epoch: ``loss``, ``loss/<part>``, ``validation/map``."""
    names = {"loss": "loss", "learning_rate": "learning_rate", "validation_map": "validation/map"}
    return [
        (names.get(name, f"loss/{name}"), value, int(row["epoch"]))
        for row in rows
        for name, value in row.items()
        if name != "epoch"
    ]


def history_metrics(file: Path) -> list[Triple]:
    return epoch_metrics(read_history(file))


def final_metrics(metrics: dict[str, Any]) -> dict[str, float]:
    """Numbers of a cell's ``metrics.json`` under names that MLflow allows (no ``@``)."""
    return {
        name.replace("@", "_at_"): float(value)
        for name, value in metrics.items()
        if name not in NOT_METRICS and isinstance(value, (int, float))
    }
