"""Follow one cell's history file into MLflow: ``python -m pipeline.tracking.follow METHOD QUANTIZER BITS SEED FILE``.

Started by the train stage (``pipeline.training.live``). Standard input closing means that training has ended.
"""

import select
import sys
from pathlib import Path

from pipeline import params as gate
from pipeline.runtime.layout import Cell, Layout
from pipeline.tracking.content import cell_params, cell_tags, epoch_metrics, result_id
from pipeline.tracking.store import Store
from pipeline.training.history import read

#: Seconds between two looks at the file.
PAUSE = 2.0


def main(method: str, quantizer: str, bits: str, seed: str, history: str) -> None:
    params, cell = gate.read(), Cell(method, quantizer, int(bits), int(seed))
    layout = Layout(params["study"])
    store = Store(params["study"])
    run = store.start(cell.name, cell_tags(params, cell, layout), cell_params(params, cell))
    final = layout.train(cell) / "history.csv"
    before = final.stat().st_mtime_ns if final.exists() else None
    logged = 0
    while not _ended():
        logged += _log_new(store, run, Path(history), logged)
    finished = final.exists() and final.stat().st_mtime_ns != before
    if finished:
        _log_new(store, run, final, logged)
        store.settle(run, cell.name, result_id(params, cell, layout))
    else:
        store.client.set_terminated(run, "FAILED")


def _ended() -> bool:
    """Wait a moment; True once the train stage has closed our input, or died."""
    return bool(select.select([sys.stdin], [], [], PAUSE)[0])


def _log_new(store: Store, run: str, history: Path, logged: int) -> int:
    try:
        rows = read(history)[logged:]
    except FileNotFoundError:  # not begun yet, or just moved to its final place
        return 0
    if rows:
        store.log(run, epoch_metrics(rows))
    return len(rows)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        # Whatever MLflow or a server raises ends here: the train stage reports this one line.
        print(str(error).strip().splitlines()[0][:300], file=sys.stderr)
        sys.exit(3)
