"""What a run says, read from params and result files."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.runtime import provenance
from pipeline.runtime.layout import Cell, Layout
from pipeline.runtime.outputs import read_json
from pipeline.runtime.provenance import Record
from pipeline.training import setting, times
from pipeline.training.history import read as read_history

Triple = tuple[str, float, int]

#: What ``metrics.json`` holds beside numbers that MLflow should chart.
NOT_METRICS = {
    "method",
    "quantizer",
    "bits",
    "seed",
    "selection",
    "device",
    "precision",
    "torch",
    "epochs",
    "parameters",
}


@dataclass(frozen=True)
class Entry:
    """A run as it should be.

    Args:
        cell: what it is the run of; of one cell one run is current.
        identity: what tells one result from another.
        files: digest of what may change without a new result: metrics and artifacts.
        history: of its epochs, or None.
        artifacts: folders, and what they are called in MLflow (None for the top).
        data: the dataset's name, digest, source and profile.
        begun, ended: when its training did, in milliseconds since 1970; None where this machine doesn't know.
    """

    cell: str
    name: str
    identity: str
    files: str
    tags: dict[str, str]
    params: dict[str, Any]
    metrics: list[Triple]
    history: Path | None
    artifacts: list[tuple[Path, str | None]]
    data: dict[str, Any] | None = None
    begun: int | None = None
    ended: int | None = None


def cell_entry(params: dict[str, Any], cell: Cell, layout: Layout) -> Entry:
    """The run of a cell that has been evaluated."""
    folder = layout.metrics(cell)
    record = provenance.read(folder)
    assert record is not None  # else its cell would count as outdated
    used = used_params(params, cell, layout, record)
    parts = {part: layout.informativeness(cell, part) for part in params["informativeness"]["parts"]}
    found = {part: place / "informativeness.json" for part, place in parts.items()}
    measured = {f"informativeness_{part}": read_json(file)["mean"] for part, file in found.items() if file.exists()}
    return Entry(
        cell=cell.name,
        name=cell.name,
        identity=result_id(used, cell, layout, folder),
        files=_digest([*sorted(folder.iterdir()), *(file for file in found.values() if file.exists())]),
        tags=cell_tags(params["study"], used, cell, layout),
        params=cell_params(used, cell),
        metrics=[(name, value, 0) for name, value in (final_metrics(folder) | measured).items()],
        history=folder / "history.csv",
        artifacts=[(folder, None)],
        data=dataset(params, used, cell, layout),
        **times.of(layout, cell),
    )


def dataset(params: dict[str, Any], used: dict[str, Any], cell: Cell, layout: Layout) -> dict[str, Any]:
    """What a run's dataset is called, known by, made from, and like."""
    file = layout.data / "manifest.json"
    manifest = read_json(file) if file.exists() else {}
    content_hash = read_json(layout.split(cell.seed) / "split.json")["content_hash"]
    return {
        "name": used["dataset"]["name"],
        "digest": content_hash[:16],
        "source": params["dataset"]["path"] or used["dataset"]["name"],
        "profile": {key: manifest[key] for key in ("images", "image_size", "labels_per_image") if key in manifest},
    }


def study_entry(params: dict[str, Any], layout: Layout) -> Entry:
    """The run of the study: its params, headline metrics, tables, figures and report."""
    identity = _digest([layout.tables / "results.csv", layout.report / "index.html"], json.dumps(params))
    return Entry(
        cell="study",
        name=f"study {params['study']}",
        identity=identity,
        files=identity,
        tags={"kind": "study", "cell": "study", "study": params["study"], "dataset": params["dataset"]["name"]},
        params=flat(params),
        metrics=[(f"map/{group}", value, 0) for group, value in read_json(layout.tables / "map.json").items()],
        history=None,
        artifacts=[(layout.tables, "tables"), (layout.report, "report")],
    )


def used_params(params: dict[str, Any], cell: Cell, layout: Layout, record: Record) -> dict[str, Any]:
    """The params that a cell's result was made with, in params.yaml's shape.

    A setting that tuning chose stands in place of params.yaml's value.

    Args:
        params: taken for what no record speaks of: how a cell that is just trained will be evaluated, and the data
            and split where only metrics are there.
        record: of what ``train`` or ``evaluate`` made.
    """
    found: dict[str, Any] = {}
    for known in (provenance.read(layout.data), provenance.read(layout.split(cell.seed)), record):
        for entry in [*known.made_by.values(), {"params": known.params}] if known else []:
            found |= entry["params"]
    tree: dict[str, Any] = {name: params[name] for name in ("dataset", "split", "evaluation")}
    tree |= {"methods": {}, "quantizers": {}}
    for name, value in found.items():
        section, _, key = name.partition(".")
        if key:
            tree[section][key] = value
        else:
            tree[section] = value
    tuned = layout.tuning(cell.group)
    return setting.with_setting(tree, cell.group, setting.chosen(tuned) if tuned.exists() else {})


def flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted keys, just as `dvc exp run -S` takes them; lists stay values."""
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            leaves |= flat(value, f"{prefix}{key}.")
        else:
            leaves[f"{prefix}{key}"] = value
    return leaves


def cell_params(used: dict[str, Any], cell: Cell) -> dict[str, Any]:
    """A run's params; ``used`` is ``used_params``."""
    return {"method": cell.method, "quantizer": cell.quantizer, "bits": cell.bits, "seed": cell.seed, **flat(used)}


def cell_tags(study: str, used: dict[str, Any], cell: Cell, layout: Layout) -> dict[str, str]:
    """Tags to filter and group by; ``group`` is the cell without its seed, for means over seeds."""
    split = read_json(layout.split(cell.seed) / "split.json")
    return {
        "kind": "cell",
        "cell": cell.name,
        "group": cell.group.name,
        "method": cell.method,
        "quantizer": cell.quantizer,
        "bits": str(cell.bits),
        "seed": str(cell.seed),
        "dataset": used["dataset"]["name"],
        "study": study,
        "selection": used["training"]["selection"],
        "split_hash": split["split_hash"],
        "content_hash": split["content_hash"],
    }


def result_id(used: dict[str, Any], cell: Cell, layout: Layout, folder: Path) -> str:
    """What tells one result of a cell from another: the params it was made with, its split, and every epoch's losses.

    The history stands for the weights that it led to: it is small, and there where only metrics were pulled.

    Args:
        used: ``used_params`` of the result.
        folder: where the cell's ``history.csv`` is; train and evaluate have the same.
    """
    split = read_json(layout.split(cell.seed) / "split.json")
    known = [used, split["split_hash"], split["content_hash"]]
    return _digest([folder / "history.csv"], json.dumps(known, sort_keys=True))


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


def final_metrics(folder: Path) -> dict[str, float]:
    """Numbers of a cell's ``metrics.json`` under names that MLflow allows (no ``@``).

    ``validation/map`` is that of every epoch; the kept epoch's is ``validation/map_kept``.
    """
    return {
        name.replace("@", "_at_").replace("validation_map", "validation/map_kept"): float(value)
        for name, value in read_json(folder / "metrics.json").items()
        if name not in NOT_METRICS and isinstance(value, (int, float))
    }


def _digest(files: list[Path], text: str = "") -> str:
    digest = hashlib.sha256(text.encode())
    for file in files:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:32]
