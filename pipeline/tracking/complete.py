"""Make the tracking store say what the result files say, however those files came about.

A result restored from DVC's cache, or pulled, ran no code and so logged nothing; test metrics come from a
stage that doesn't wait for MLflow. This brings both in, for all cells of the study; doing it twice changes nothing.
"""

import hashlib
import sys
from pathlib import Path
from typing import Any

from pipeline.runtime.layout import Cell, Layout, cells_of
from pipeline.runtime.outputs import read_json
from pipeline.tracking import content


def complete_or_say_how(params: dict[str, Any]) -> None:
    """``complete``, but a store that can't be reached is a warning: the results are on disk."""
    try:
        complete(params)
    except Exception as error:  # whatever a server or a driver raises
        reason = str(error).strip().splitlines()[0][:300]
        print(
            f"warning: MLflow could not be completed ({reason}); the results are kept all the same, and "
            "`python -m pipeline.tracking` logs them later",
            file=sys.stderr,
        )


def complete(params: dict[str, Any]) -> int:
    """Bring every cell that has results, and the study itself, into the tracking store.

    Returns:
        the number of cells that are there now.
    """
    # MLflow is imported here and not above: it takes seconds, and its absence is a warning.
    from pipeline.tracking.store import Store

    layout = Layout(params["study"])
    store = Store(params["study"])
    cells = [cell for cell in cells_of(params["grid"]) if (layout.metrics(cell) / "metrics.json").exists()]
    known = {run.data.tags.get("result_id"): run for run in store.runs("tags.kind = 'cell'")}
    for cell in cells:
        _complete_cell(store, known, params, cell, layout)
    if (layout.report / "index.html").exists():
        _complete_study(store, params, layout)
    return len(cells)


def _complete_cell(store: Any, known: dict[str, Any], params: dict[str, Any], cell: Cell, layout: Layout) -> None:
    identity = content.result_id(params, cell, layout)
    run = known.get(identity)
    wanted = content.final_metrics(read_json(layout.metrics(cell) / "metrics.json"))
    for part in params["informativeness"]["of"]:
        found = layout.informativeness(cell, part) / "informativeness.json"
        wanted |= {f"informativeness_{part}": read_json(found)["mean"]} if found.exists() else {}
    if run is not None and run.data.tags.get("status") == "current":
        there = {name: run.data.metrics.get(name) for name in wanted}
        if there == wanted:
            return
    run_id = run.info.run_id if run is not None else _from_files(store, params, cell, layout)
    store.log(run_id, [(name, value, 0) for name, value in wanted.items()])
    store.artifacts(run_id, layout.metrics(cell))
    store.settle(run_id, cell.name, identity)


def _from_files(store: Any, params: dict[str, Any], cell: Cell, layout: Layout) -> str:
    """A run for a cell that was restored or pulled."""
    tags = {**content.cell_tags(params, cell, layout), "restored": "yes"}
    run_id: str = store.start(cell.name, tags, content.cell_params(params, cell))
    store.log(run_id, content.history_metrics(layout.metrics(cell) / "history.csv"))
    return run_id


def _complete_study(store: Any, params: dict[str, Any], layout: Layout) -> None:
    """One run for the study: its params, headline metrics, tables, figures and report."""
    metrics = [
        (f"{name.replace('@', '_at_')}/{file.stem}", value, 0)
        for file in sorted((layout.tables / "metrics").glob("*.json"))
        for name, value in read_json(file).items()
    ]
    identity = _digest([layout.tables / "results.csv", layout.report / "index.html", Path("params.yaml")])
    if any(
        run.data.tags.get("result_id") == identity and run.data.tags.get("status") == "current"
        for run in store.runs("tags.kind = 'study'")
    ):
        return
    tags = {"kind": "study", "cell": "study", "study": params["study"], "dataset": params["dataset"]["name"]}
    run_id = store.start(f"study {params['study']}", tags, content.flat(params))
    store.log(run_id, metrics)
    store.artifacts(run_id, layout.tables, "tables")
    store.artifacts(run_id, layout.report, "report")
    store.settle(run_id, "study", identity)


def _digest(files: list[Path]) -> str:
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:32]
