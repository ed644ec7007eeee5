"""Seconds to log a study to MLflow, and by how much logging during training slows down a cell.

    python -m benchmarks.tracking
    python -m benchmarks.tracking --live METHOD QUANTIZER BITS SEED

The first command writes the result files of 500 synthetic cells with 100 epochs each. It runs
``python -m pipeline track`` on them twice, with the store in MLFLOW_TRACKING_URI (by default an SQLite file). The
second command trains one cell of params.yaml alternately with and without logging to MLflow during training. It needs
the cell's data and split.
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml
from mlflow import MlflowClient

from pipeline.params import Params
from pipeline.runtime import provenance
from pipeline.runtime.layout import Cell, Layout, cells_of
from pipeline.runtime.outputs import write_json
from pipeline.training.history import History

ROOT = Path(__file__).parent.parent
STAGE = "'stages.train', run_name='__main__')"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=500)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--live", nargs=4, metavar=("METHOD", "QUANTIZER", "BITS", "SEED"))
    parser.add_argument("--repetitions", type=int, default=5)
    given = parser.parse_args()
    if given.live:
        method, quantizer, bits, seed = given.live
        following(Cell(method, quantizer, int(bits), int(seed)), given.repetitions)
    else:
        tracking(given.cells, given.epochs)


def tracking(cells: int, epochs: int) -> None:
    """Track synthetic results, then run again with nothing to do."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_results(folder, cells, epochs)
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
        for what in ("all of it", "nothing to do"):
            begun, used = time.perf_counter(), _processor()
            subprocess.run([sys.executable, "-m", "pipeline", "track"], cwd=folder, env=environment, check=True)
            print(f"{what}: {time.perf_counter() - begun:.1f} s, {_processor() - used:.1f} s of processor time")


def _processor() -> float:
    """Processor seconds of the child processes; other work on the machine affects them little."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def write_results(folder: Path, count: int, epochs: int, study: str = "benchmark") -> None:
    """Write the result files of a study with ``count`` cells, as the stages write them."""
    params: Params = yaml.safe_load((ROOT / "params.yaml").read_text())
    grid = params["grid"]
    groups = len(grid["methods"]) * len(grid["quantizers"])
    params["study"] = study
    params["visualize"]["seeds"] = []
    grid["seeds"] = list(range(-(-count // groups)))
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    layout = Layout(study, folder)
    for seed in grid["seeds"]:
        layout.split(seed).mkdir(parents=True)
        write_json(layout.split(seed) / "split.json", {"split_hash": f"{seed:064x}", "content_hash": 64 * "0"})
    for number, cell in enumerate(cells_of(grid)[:count]):
        _write_cell(layout.metrics(cell), number, epochs)
    record_results(folder)


def record_results(folder: Path) -> None:
    """Write provenance records that say the results were made with the folder's params and the present code."""
    params: Params = yaml.safe_load((folder / "params.yaml").read_text())
    layout = Layout(params["study"], folder)
    made: list[tuple[str, dict[str, Any], Path]] = [
        ("split", {"seed": seed}, layout.split(seed)) for seed in params["grid"]["seeds"]
    ]
    for cell in cells_of(params["grid"]):
        measured, trained = layout.metrics(cell), layout.train(cell)
        if measured.exists():
            trained.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(measured / "history.csv", trained / "history.csv")
            made += [("train", asdict(cell), trained), ("evaluate", asdict(cell), measured)]
    for stage, item, output in made:
        record = provenance.begun(stage, item, params, layout.folder)
        provenance.write(record, output, output, layout.folder)


def _write_cell(target: Path, number: int, epochs: int) -> None:
    target.mkdir(parents=True)
    history = History(target / "history.csv")
    parts = ("learning_rate", "loss", "similarity", "own_quantization", "wr", "validation_map")
    for epoch in range(1, epochs + 1):
        history.add({"epoch": epoch, **{part: 1 / (epoch + number + place) for place, part in enumerate(parts)}})
    history.close()
    write_json(target / "metrics.json", {f"measure_{place}": (number + place) / 1000 for place in range(16)})
    (target / "bits.csv").write_text("bit,mean\n" + "".join(f"{bit},0.01\n" for bit in range(64)))
    (target / "curves.csv").write_text(
        "by,at,precision,recall\n" + "".join(f"radius,{at},0.5,0.5\n" for at in range(99))
    )


def following(cell: Cell, repetitions: int) -> None:
    """Train a cell alternately with and without logging during training; print the difference of medians in percent."""
    options = [f"--{name}={getattr(cell, name)}" for name in ("method", "quantizer", "bits", "seed")]
    layout = Layout(yaml.safe_load(Path("params.yaml").read_text())["study"])
    with tempfile.TemporaryDirectory() as name:
        seconds: dict[str, list[float]] = {"without": [], "with": []}
        # MLflow creates the tables of an SQLite file once; exclude this from the times.
        MlflowClient(tracking_uri=f"sqlite:///{name}/empty.db").search_experiments()
        for turn in range(2 * repetitions):
            kind = ("without", "with")[(turn + turn // 2) % 2]
            # Every run has its own store, because MLflow logging differs for a result that is already in the store.
            shutil.copy(f"{name}/empty.db", f"{name}/{turn}.db")
            store = {"MLFLOW_TRACKING_URI": f"sqlite:///{name}/{turn}.db"}
            delay = "" if kind == "with" else "mlflow_follower.DELAY = 1e6; "
            program = f"import runpy; from pipeline.training import mlflow_follower; {delay}runpy.run_module({STAGE}"
            begun = time.perf_counter()
            subprocess.run([sys.executable, "-c", program, *options], env={**os.environ, **store}, check=True)
            seconds[kind].append(time.perf_counter() - begun)
            epochs = json.loads((layout.train(cell) / "training.json").read_text())["epochs"]
            print(f"{kind}: {seconds[kind][-1]:.2f} s, {epochs} epochs")
    middle = {kind: statistics.median(values) for kind, values in seconds.items()}
    print(f"median {middle}; {100 * (middle['with'] / middle['without'] - 1):+.1f}%")


if __name__ == "__main__":
    main()
