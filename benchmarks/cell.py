"""Time of a cell's stages by part: each stage as a separate process, and as a call in a process that is already warm.

    python -m benchmarks.cell [--method dsdh] [--quantizer wr] [--bits 16] [--seed 0]

Run it in the study's repository after `dvc repro` has made the data and splits; it copies them to a temporary folder.
A *process* is what `dvc repro` starts for a stage. A *call* is the stage's `main(params, layout, cell)` in a process
that has done its imports and has run the stages for another seed. Processes and calls alternate. Of several runs of
each, the table shows the run with the median total. Seconds are processor time, because other work on the machine
changes it least; on an idle machine it equals wall time. The seconds of a part exclude those of the parts within it.
"""

import argparse
import builtins
import functools
import gc
import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

STAGES = ("train", "encode", "evaluate")
RUNS = 5
ROOT = Path(__file__).parent.parent
Seconds = dict[str, float]
#: The parts of a stage that are timed: module, name in the module, name in the table.
PARTS = [
    ("pipeline.training.cell", "trainer", "make network, method, optimizer"),
    ("stages.encode", "load_cell", "make network, read weights"),
    ("pipeline.encoding.images", "Resident.copy_of", "read images or features"),
    ("pipeline.encoding.network", "ImageNetwork.forward", "forward"),
    ("pipeline.encoding.network", "FeatureNetwork.forward", "forward"),
    ("torch", "Tensor.backward", "backward"),
    ("pipeline.training.loop", "losses", "losses"),
    ("pipeline.quantizers.wr", "optimal_pairing", "pairing"),
    ("pipeline.training.loop", "Trainer._step", "optimizer and schedule"),
    ("pipeline.training.loop", "Trainer.prime", "banks from first outputs"),
    ("pipeline.training.loop", "Trainer.epoch", "batches, end of epochs"),
    ("pipeline.training.selection", "evaluate", "validation mAP"),
    ("pipeline.evaluation.cell", "evaluate", "mAP and curves"),
    ("pipeline.evaluation.cell", "balance", "balance"),
]


class Stopwatch:
    """Seconds by part; only the innermost running part is counted."""

    def __init__(self, outermost: str) -> None:
        self.seconds: Seconds = defaultdict(float)
        # Processor time is 0 at the start of the process.
        self._inside, self._since = [outermost], 0.0

    def turn(self) -> None:
        """Add the time since the last call to the part that is running."""
        now = time.process_time()
        self.seconds[self._inside[-1]] += now - self._since
        self._since = now

    def watched(self, call: Callable[..., Any], part: str) -> Callable[..., Any]:
        @functools.wraps(call)
        def timed(*args: Any, **kwargs: Any) -> Any:
            self.turn()
            self._inside.append(part)
            try:
                return call(*args, **kwargs)
            finally:
                self.turn()
                self._inside.pop()

        return timed

    def watch(self) -> None:
        """Wrap all parts in the loaded modules."""
        for module, name, part in PARTS:
            *path, last = name.split(".")
            if module not in sys.modules:
                continue
            place: Any = sys.modules[module]
            for step in path:
                place = getattr(place, step, None)
            if hasattr(place, last):
                setattr(place, last, self.watched(getattr(place, last), part))
        builtins.__import__ = self.watched(builtins.__import__, "imports as they are needed")


def child(stages: list[str], cells: list[dict[str, Any]]) -> None:
    """Run the stages for each cell; print the parts of the whole process and of each stage's last call."""
    watch = Stopwatch("start of Python")
    importing = watch.watched(importlib.import_module, "other imports")
    importing("stages")  # switches the garbage collector off
    if stages != ["evaluate"]:
        watch.watched(importlib.import_module, "import torch")("torch")
    modules = {stage: importing(f"stages.{stage}") for stage in stages}
    if "train" in stages:
        for kind in ("method", "quantizer"):
            importing(f"pipeline.{kind}s.{cells[0][kind]}")
    gc.freeze()
    gc.enable()
    params = watch.watched(importing("pipeline.params").read, "params.yaml")()
    watch.watch()
    calls: dict[str, Seconds] = {}
    for cell in cells:
        arguments = [str(word) for name, value in cell.items() for word in (f"--{name}", value)]
        for stage, module in modules.items():
            before = dict(watch.seconds)
            work = watch.watched(module.STAGE.call, "data, files and the rest")
            work(params, arguments)
            calls[stage] = {part: taken - before.get(part, 0.0) for part, taken in watch.seconds.items()}
    watch.turn()
    print(json.dumps({"all": watch.seconds, "calls": calls}), flush=True)
    os._exit(0)


def run(folder: Path, stages: list[str], cells: list[dict[str, Any]]) -> dict[str, Seconds]:
    """Seconds by stage: of the whole child process for one stage of one cell, else of the last calls."""
    command = [sys.executable, "-m", "benchmarks.cell", "--child", json.dumps([stages, cells])]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    before = os.times()
    done = subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE, check=True, text=True)
    after = os.times()
    total = after.children_user + after.children_system - before.children_user - before.children_system
    said = json.loads(done.stdout)
    if len(cells) > 1:
        calls: dict[str, Seconds] = said["calls"]
        return calls
    parts: Seconds = said["all"]
    return {stages[0]: {**parts, "end of the process": total - sum(parts.values())}}


def copy_of_study(target: Path, group: list[str]) -> None:
    """Copy the inputs of a cell's stages to ``target``, except those that the stages write themselves."""
    study = Path("results") / yaml.safe_load(Path("params.yaml").read_text())["study"]
    shutil.copy("params.yaml", target)
    for name in ("data", "splits"):
        shutil.copytree(study / name, target / study / name)
    command = [sys.executable, "-m", "stages.tune", *group]
    subprocess.run(command, cwd=target, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True)


def table(columns: dict[str, Seconds]) -> str:
    """One row per part, one column per stage and way of running it; times below 5 ms are left empty."""
    parts = list(dict.fromkeys(part for column in columns.values() for part in column))
    rows = {part: [column.get(part, 0.0) for column in columns.values()] for part in parts}
    rows["total"] = [sum(column.values()) for column in columns.values()]
    lines = [
        f"| {part} | " + " | ".join(f"{value:.2f}" if value >= 0.005 else "" for value in values) + " |"
        for part, values in rows.items()
        if max(values) >= 0.005
    ]
    return "\n".join([f"| seconds | {' | '.join(columns)} |", f"| --- |{' ---: |' * len(columns)}", *lines])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", default="dsdh")
    parser.add_argument("--quantizer", default="wr")
    parser.add_argument("--bits", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--child", type=json.loads, help=argparse.SUPPRESS)
    asked = vars(parser.parse_args())
    if given := asked.pop("child"):
        child(*given)
    seeds = yaml.safe_load(Path("params.yaml").read_text())["grid"]["seeds"]
    other = asked | {"seed": next((seed for seed in seeds if seed != asked["seed"]), asked["seed"])}
    taken: dict[str, list[Seconds]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        group = [f"--{name}={asked[name]}" for name in ("method", "quantizer", "bits")]
        copy_of_study(Path(folder), group)
        for _ in range(RUNS):
            for stage in STAGES:
                taken[f"{stage}, process"] += run(Path(folder), [stage], [asked]).values()
            for stage, seconds in run(Path(folder), list(STAGES), [other, asked]).items():
                taken[f"{stage}, call"].append(seconds)
    print(table({name: sorted(runs, key=lambda run: sum(run.values()))[RUNS // 2] for name, runs in taken.items()}))


if __name__ == "__main__":
    main()
