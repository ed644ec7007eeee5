"""files-dataset, files-weights: the fingerprint of the raw files, or the SHA-256 of the initial weights."""

import shutil
import sys
from pathlib import Path
from typing import Any

from pipeline.params import Params
from pipeline.runtime import provenance
from pipeline.runtime.entry import stage
from pipeline.runtime.layout import Layout
from pipeline.runtime.outputs import write_json
from pipeline.runtime.paths import fingerprint, given


def main(params: Params, layout: Layout, of: str) -> None:
    if of == "dataset":
        targets, path = [layout.raw_files], given(str(params["dataset"]["path"]))
        known = fingerprint(path) if path.exists() else None
    else:
        targets, path = (
            [layout.weights_file(stage) for stage in ("features", "tune", "train")],
            given(params["backbone"]["weights"]),
        )
        known = {"sha256": provenance.sha256(path)} if path.is_file() else None
    for target in targets:
        _write(layout, target, known, path)


def _write(layout: Layout, target: Path, known: dict[str, Any] | None, path: Path) -> None:
    """Write ``files.json``. If the files aren't on this machine, keep the previous ``files.json``."""
    before = target / "files.json"
    with layout.atomic_output(target) as folder:
        if known is not None:
            write_json(folder / "files.json", known)
        elif before.exists():
            print(f"warning: {path} was not found; the results that were made from it are kept", file=sys.stderr)
            shutil.copy(before, folder / "files.json")
        else:
            write_json(folder / "files.json", {"files": 0})  # prepare and train report the missing files


STAGE = stage(main, of=str)

if __name__ == "__main__":
    STAGE.main()
