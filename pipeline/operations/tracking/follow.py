"""Log one cell's history to MLflow during training: ``follow METHOD QUANTIZER BITS SEED FILE``.

The train stage starts this process (``pipeline.training.mlflow_follower``). The first line of standard input is JSON:
the params of the stage, the record of its output, and its start time. The params are passed this way because
params.yaml may be edited meanwhile. Standard input is closed when training ends. The process prints a line when the
run has been created.
"""

import json
import os
import select
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.operations.tracking.complete import reason
from pipeline.operations.tracking.content import cell_params, cell_tags, dataset, epoch_metrics, result_id, used_params
from pipeline.runtime.layout import Cell, Layout
from pipeline.runtime.provenance import Record
from pipeline.training.history import read

if TYPE_CHECKING:
    from pipeline.operations.tracking.store import Store

#: Seconds between two reads of the file.
PAUSE = 2.0
#: Niceness, so that training has priority on a shared core.
NICE = 5


def main(method: str, quantizer: str, bits: str, seed: str, history: str) -> None:
    given = json.loads(sys.stdin.readline())
    params, record = given["params"], Record(**given["record"])
    cell, layout = Cell(method, quantizer, int(bits), int(seed)), Layout(params["study"])
    used = used_params(params, cell, layout, record)
    final = layout.train(cell)
    before = _written(final)

    from pipeline.operations.tracking.store import Store, provenance

    store = Store(params["study"])
    run = store.start(cell.name, {**cell_tags(params["study"], used, cell, layout), **provenance()}, given["begun"])
    store.made_from(run, dataset(params, used, cell, layout))
    store.log(run, [], cell_params(used, cell))
    print("following", flush=True)
    logged = 0
    while not _ended():
        logged += _log_new(store, run, Path(history), logged)
    if _written(final) == before:  # failed or interrupted
        store.finish(run, "FAILED")
        return
    rows = read(final / "history.csv")[logged:]
    identity = result_id(used, cell, layout, final)
    store.log(run, epoch_metrics(rows), tags=store.claim(identity))
    store.finish(run)
    store.settle(store.runs(f"tags.cell = '{cell.name}'"), {cell.name: identity})


def _written(folder: Path) -> int | None:
    """Modification time of the folder's history in ns, or None if it doesn't exist."""
    file = folder / "history.csv"
    return file.stat().st_mtime_ns if file.exists() else None


def _ended() -> bool:
    """Wait up to ``PAUSE`` seconds; True if the train stage has closed standard input, or died."""
    return bool(select.select([sys.stdin], [], [], PAUSE)[0])


def _log_new(store: "Store", run: str, history: Path, logged: int) -> int:
    try:
        rows = read(history)[logged:]
    except FileNotFoundError:  # not written yet, or just moved to its final folder
        return 0
    store.log(run, epoch_metrics(rows))
    return len(rows)


if __name__ == "__main__":
    os.nice(NICE)
    # Ctrl-C in a terminal reaches this process too. It is ignored, so that the end of training can still be logged.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        main(*sys.argv[1:])
    except Exception as error:
        # MLflow or a server may raise anything; the train stage reports this line.
        print(reason(error), file=sys.stderr)
        sys.exit(3)
