"""What DVC itself costs a stage: the project's own dvc.yaml files with commands that do almost nothing.

    python -m benchmarks.dvc_overhead --methods 6 --cells 240

Builds a repository in a temporary folder: this one's template and top-level dvc.yaml, pretend methods, and a
shell script in the place of every stage. Then runs `dvc repro` and prints seconds a stage, the script's own
time (about 5 ms) included.
"""

import argparse
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import yaml

from cells.generate import write

ROOT = Path(__file__).parent.parent
QUANTIZERS = ["original", "wr", "swd", "hswd"]
SEEDS = [0, 1, 2, 3, 4]

STAND_IN = """\
#!/bin/sh
# Arguments: stage, then what the real stage is called with.
stage=$1; shift; folder=results/bench
case $stage in
  prepare) mkdir -p $folder/data; echo prepared > $folder/data/manifest.json ;;
  split) mkdir -p $folder/splits/$2; echo $2 > $folder/splits/$2/split.json ;;
  code) mkdir -p $folder/code/$2; echo $2 > $folder/code/$2/sha256.txt ;;
  tune) mkdir -p $folder/tuning/$2-$4-$6; echo {} > $folder/tuning/$2-$4-$6/choice.json ;;
  train) mkdir -p $folder/train/$2-$4-$6-$8; echo $* > $folder/train/$2-$4-$6-$8/weights ;;
  encode) mkdir -p $folder/codes/$2-$4-$6-$8; echo $* > $folder/codes/$2-$4-$6-$8/codes ;;
  evaluate) mkdir -p $folder/metrics/$2-$4-$6-$8; echo $* > $folder/metrics/$2-$4-$6-$8/metrics ;;
  aggregate) mkdir -p $folder/tables; echo {} > $folder/tables/metrics.json ;;
  report) mkdir -p $folder/report; echo done > $folder/report/index.html ;;
esac
"""


def build(folder: Path, methods: list[str], bits: list[int]) -> int:
    """Make the repository; returns the number of its cells."""
    for part in ("pipeline", "published", "stages"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", "params.yaml", ".dvcignore", ".gitignore"):
        shutil.copy(ROOT / name, folder / name)
    for method in methods:
        (folder / "pipeline" / "methods" / f"{method}.py").write_text(f"# {method}\n")
    params = yaml.safe_load((folder / "params.yaml").read_text())
    params["study"] = "bench"
    params["grid"] = {"methods": dict.fromkeys(methods, QUANTIZERS), "bits": bits, "seeds": SEEDS}
    params["methods"] = {method: {"eta": 0.1, "mu": 0.1, "nu": 0.1} for method in methods}
    # Written out in full: DVC reads no YAML anchors the other way round.
    dumper = type("Plain", (yaml.SafeDumper,), {"ignore_aliases": lambda *_: True})
    (folder / "params.yaml").write_text(yaml.dump(params, Dumper=dumper))
    (folder / "cells").mkdir()
    shutil.copy(ROOT / "cells" / "template.yaml", folder / "cells")
    write(folder / "cells", methods)
    (folder / "standin.sh").write_text(STAND_IN)
    for file in folder.rglob("dvc.yaml"):
        file.write_text(file.read_text().replace("python -m stages.", "sh standin.sh "))
    for command in (
        ["git", "init", "-q"],
        ["dvc", "init", "-q"],
        ["dvc", "config", "core.analytics", "false"],
    ):
        subprocess.run(command, cwd=folder, check=True)
    return len(methods) * len(QUANTIZERS) * len(bits) * len(SEEDS)


def measure(methods: int, cells: int) -> None:
    bits = [8 * (i + 1) for i in range(cells // (methods * len(QUANTIZERS) * len(SEEDS)))]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        count = build(folder, [f"m{i}" for i in range(methods)], bits)
        start = time.perf_counter()
        done = subprocess.run(["dvc", "repro"], cwd=folder, check=True, capture_output=True, text=True)
        wall = time.perf_counter() - start
        stages = done.stdout.count("Running stage")
        start = time.perf_counter()
        subprocess.run(["dvc", "repro"], cwd=folder, check=True, capture_output=True)
        again = time.perf_counter() - start
        lines = [len(file.read_text().splitlines()) for file in folder.rglob("dvc.lock")]
    print(
        f"| {methods} | {count} | {stages} | {wall:.0f} | {wall / stages:.2f} | {max(lines)} | {again:.1f} |",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--methods", type=int, nargs="+", default=[6])
    parser.add_argument("--cells", type=int, default=240)
    arguments = parser.parse_args()
    print("| methods | cells | stages | `dvc repro`, s | s a stage | largest lock, lines | nothing to do, s |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for methods in arguments.methods:
        measure(methods, arguments.cells)


if __name__ == "__main__":
    main()
