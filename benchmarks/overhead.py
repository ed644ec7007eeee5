"""Overhead of DVC and of the sweep per stage: the project's own graph, with stages that do almost nothing.

    python -m benchmarks.overhead repro 100 250
    python -m benchmarks.overhead sweep 250 1000 2000

For each number of cells, it builds a copy of this repository in a temporary folder, in which every file in stages/ only
writes one line. It runs `dvc repro` or `python -m pipeline sweep`, then the same again with nothing to do.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent
METHODS = ["csq", "dch", "dsdh", "greedyhash", "hashnet"]
QUANTIZERS = ["original", "wr", "swd", "hswd", "ot"]
SEEDS = 10
#: stage -> its declaration, its further arguments, the folder and the file that it writes
STAGES = {
    "prepare": ("stage(main)", "", "layout.data", "manifest.json"),
    "split": ("stage(main, seed=int)", ", seed", "layout.split(seed)", "split.json"),
    "shared": ("stage(main, of=str)", ", of", "layout.shared(of)", "shared.txt"),
    "tune": ("group_stage(main)", ", group", "layout.tuning(group)", "choice.json"),
    "train": ("cell_stage(main)", ", cell", "layout.train(cell)", "weights"),
    "encode": ("cell_stage(main)", ", cell", "layout.codes(cell)", "codes"),
    "evaluate": ("cell_stage(main)", ", cell", "layout.metrics(cell)", "metrics"),
    "aggregate": ("stage(main)", "", "layout.tables", "metrics.json"),
    "report": ("stage(main)", "", "layout.report", "index.html"),
}
STAND_IN = """\
from pipeline.runtime.entry import {kind}


def main(params, layout{given}):
    with layout.atomic_output({folder}) as target:
        (target / "{file}").write_text(str({folder}))


STAGE = {declared}

if __name__ == "__main__":
    STAGE.main()
"""
ENGINES = {
    "repro": ["dvc", "repro"],
    "sweep": [sys.executable, "-m", "pipeline", "sweep"],
}


def build(folder: Path, cells: int) -> None:
    """Make the repository with this many cells, a multiple of 25."""
    for part in ("cells", "pipeline", "published", "stages"):
        ignored = shutil.ignore_patterns("__pycache__", "dvc.lock")
        shutil.copytree(ROOT / part, folder / part, ignore=ignored)
    for name in ("dvc.yaml", "params.yaml", ".dvcignore", ".gitignore"):
        shutil.copy(ROOT / name, folder / name)
    for name, (declared, given, target, file) in STAGES.items():
        text = STAND_IN.format(kind=declared.split("(")[0], given=given, folder=target, file=file, declared=declared)
        (folder / "stages" / f"{name}.py").write_text(text)
    params = yaml.safe_load((folder / "params.yaml").read_text())
    pairs = len(METHODS) * len(QUANTIZERS)
    seeds = min(SEEDS, cells // pairs)
    bits = [8 * (i + 1) for i in range(cells // (pairs * seeds))]
    params["study"] = "bench"
    params["visualize"]["seeds"] = []
    params["grid"] = {
        "methods": METHODS,
        "quantizers": QUANTIZERS,
        "bits": bits,
        "seeds": list(range(seeds)),
        "training_free": [],
    }
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    for command in (
        ["git", "init", "-q"],
        ["dvc", "init", "-q"],
        ["dvc", "config", "core.analytics", "false"],
    ):
        subprocess.run(command, cwd=folder, check=True)


def stages(folder: Path) -> int:
    """The number of stages in the lock files."""
    locks = (yaml.load(file.read_text(), Loader=yaml.CSafeLoader) for file in folder.rglob("dvc.lock"))
    return sum(len(lock["stages"]) for lock in locks)


def seconds(command: list[str], folder: Path) -> float:
    start = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return time.perf_counter() - start


def measure(engine: str, cells: int) -> str:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build(folder, cells)
        wall, again = (seconds(ENGINES[engine], folder) for _ in range(2))
        count = stages(folder)
    return f"| {engine} | {cells:,} | {count:,} | {wall:.0f} | {1000 * wall / count:.0f} | {again:.1f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("engine", choices=ENGINES)
    parser.add_argument("cells", type=int, nargs="+", metavar="CELLS", help="multiples of 25")
    arguments = parser.parse_args()
    print("| run by | cells | stages | s | ms a stage | nothing to do, s |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for cells in arguments.cells:
        print(measure(arguments.engine, cells), flush=True)


if __name__ == "__main__":
    main()
