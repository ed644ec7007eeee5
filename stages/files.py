"""files-dataset, files-weights, files-lists: a fingerprint of the raw files, or hashes of weights or of lists."""

import shutil
import sys
from pathlib import Path
from typing import Any

from pipeline.params import Params
from pipeline.protocols.lists import FILES
from pipeline.runtime import provenance
from pipeline.runtime.entry import stage
from pipeline.runtime.layout import Layout
from pipeline.runtime.outputs import write_json
from pipeline.runtime.paths import fingerprint, given


def main(params: Params, layout: Layout, of: str) -> None:
    targets, path, known = _seen(params, layout, of)
    if known is None and any((target / "files.json").exists() for target in targets):
        print(f"warning: {path} was not found; the results that were made from it are kept", file=sys.stderr)
    for target in targets:
        _write(layout, target, known)


def _seen(params: Params, layout: Layout, of: str) -> tuple[list[Path], Path, dict[str, Any] | None]:
    """The folders to write ``files.json`` into, what it is of, and its content; None if the files aren't there."""
    if of == "dataset":
        path = given(str(params["dataset"]["path"]))
        return [layout.raw_files], path, fingerprint(path) if path.exists() else None
    if of == "weights":
        targets = [layout.weights_file(stage) for stage in ("features", "tune", "train")]
        path = given(params["backbone"]["weights"])
        return targets, path, {"sha256": provenance.sha256(path)} if path.is_file() else None
    path = given(str(dict(params["split"])["folder"]))
    hashes = {name: provenance.sha256(path / name) for name in FILES if (path / name).is_file()}
    return [layout.lists(stage) for stage in ("split", "tune")], path, {"sha256": hashes} if hashes else None


def _write(layout: Layout, target: Path, known: dict[str, Any] | None) -> None:
    """Write ``files.json``. If the files aren't on this machine, keep the previous ``files.json``."""
    before = target / "files.json"
    with layout.atomic_output(target) as folder:
        if known is not None:
            write_json(folder / "files.json", known)
        elif before.exists():
            shutil.copy(before, folder / "files.json")
        else:
            write_json(folder / "files.json", {"files": 0})  # prepare, split and train report the missing files


STAGE = stage(main, of=str)

if __name__ == "__main__":
    STAGE.main()
