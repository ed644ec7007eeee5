"""The content of a run, read from params and result files."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.params import Params
from pipeline.runtime import provenance
from pipeline.runtime.layout import Cell, Layout
from pipeline.runtime.outputs import read_json
from pipeline.runtime.provenance import Record
from pipeline.training import setting, times
from pipeline.training.history import read as read_history

Triple = tuple[str, float, int]

#: Numbers in ``metrics.json`` that are not metrics.
NOT_METRICS = {"bits", "seed", "epochs", "parameters"}


@dataclass(frozen=True)
class Entry:
    """The content that a run should have.

    Args:
        cell: the cell's name, or "study"; each has one current run.
        name: the run's name.
        identity: id of the result (``result_id``).
        files: digest of the files that may change without a new result: metrics and artifacts.
        tags: tags to filter and group by.
        params: params of the run.
        metrics: final metrics as (name, value, step).
        history: file with the metrics of each epoch, or None.
        artifacts: folders and their names in MLflow (None for the top level).
        data: the dataset's name, digest, source and profile.
        begun: when training began, in milliseconds since 1970; None if not known on this machine.
        ended: when training ended, likewise.
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


def cell_entry(params: Params, cell: Cell, layout: Layout) -> Entry:
    """The content of the run of an evaluated cell."""
    folder = layout.metrics(cell)
    record = provenance.read(folder)
    assert record is not None  # a cell without a record counts as outdated
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


def dataset(params: Params, used: Params, cell: Cell, layout: Layout) -> dict[str, Any]:
    """The name, digest, source and profile of a run's dataset."""
    file = layout.data / "manifest.json"
    manifest = read_json(file) if file.exists() else {}
    content_hash = read_json(layout.split(cell.seed) / "split.json")["content_hash"]
    return {
        "name": used["dataset"]["name"],
        "digest": content_hash[:16],
        "source": params["dataset"]["path"] or used["dataset"]["name"],
        "profile": {key: manifest[key] for key in ("images", "image_size", "labels_per_image") if key in manifest},
    }


def study_entry(params: Params, layout: Layout) -> Entry:
    """The content of the study's run: its params, headline metrics, tables, figures and report."""
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


def used_params(params: Params, cell: Cell, layout: Layout, record: Record) -> Params:
    """The params that a cell's result was made with, in the structure of params.yaml.

    A setting chosen by tuning replaces the value in params.yaml.

    Args:
        params: content of params.yaml. Its values are used where no record has them: the evaluation of a cell that is
            still training, and the data and split if only metrics are present.
        cell: the cell.
        layout: the study's folders.
        record: the record of the cell's ``train`` or ``evaluate`` output.
    """
    found: dict[str, Any] = {}
    for known in (provenance.read(layout.data), provenance.read(layout.split(cell.seed)), record):
        for entry in [*known.made_by.values(), {"params": known.params}] if known else []:
            found |= entry["params"]
    tree: Any = {name: params[name] for name in ("dataset", "split", "evaluation")}  # type: ignore[literal-required]
    tree |= {"methods": {}, "quantizers": {}}
    for name, value in found.items():
        section, _, key = name.partition(".")
        if key:
            tree[section][key] = value
        else:
            tree[section] = value
    tuned = layout.tuning(cell.group)
    return setting.with_setting(tree, cell.group, setting.chosen(tuned) if tuned.exists() else {})


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested params to dotted keys, as `dvc exp run -S` accepts them; lists are values."""
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            leaves |= flat(value, f"{prefix}{key}.")
        else:
            leaves[f"{prefix}{key}"] = value
    return leaves


def cell_params(used: Params, cell: Cell) -> dict[str, Any]:
    """A run's params; ``used`` is the result of ``used_params``."""
    return {"method": cell.method, "quantizer": cell.quantizer, "bits": cell.bits, "seed": cell.seed, **flat(used)}


def cell_tags(study: str, used: Params, cell: Cell, layout: Layout) -> dict[str, str]:
    """Tags to filter and group runs by; ``group`` is the cell without its seed, for means over seeds."""
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


def result_id(used: Params, cell: Cell, layout: Layout, folder: Path) -> str:
    """Id of a cell's result: a digest of its params, its split, and the losses of every epoch.

    The history is used in place of the weights: it is small, and it is present if only metrics were pulled.

    Args:
        used: the result of ``used_params``.
        cell: the cell.
        layout: the study's folders.
        folder: the folder of the cell's ``history.csv``; the outputs of train and evaluate have the same file.

    Returns:
        32 hexadecimal digits.
    """
    split = read_json(layout.split(cell.seed) / "split.json")
    known = [used, split["split_hash"], split["content_hash"]]
    return _digest([folder / "history.csv"], json.dumps(known, sort_keys=True))


def epoch_metrics(rows: list[dict[str, float]]) -> list[Triple]:
    """History rows as metrics with the epoch as step: ``loss``, ``loss/<part>``, ``validation/map``."""
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
    """The metrics in a cell's ``metrics.json``, under names that MLflow allows (no ``@``).

    ``validation/map`` is logged for every epoch; the value of the kept epoch is ``validation/map_kept``.
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
