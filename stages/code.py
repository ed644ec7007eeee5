"""code: the modules that a stage of every cell uses, as one file of hashes."""

import hashlib
from pathlib import Path
from typing import Any

import yaml

from pipeline.runtime.entry import stage
from pipeline.runtime.layout import Layout


def main(params: dict[str, Any], of: str) -> None:
    layout = Layout(params["study"])
    listed = yaml.safe_load(Path("dvc.yaml").read_text())["stages"][f"code-{of}"]["deps"]
    files = [
        file
        for dependency in map(Path, listed)
        for file in (sorted(dependency.rglob("*.py")) if dependency.is_dir() else [dependency])
    ]
    lines = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.as_posix()}\n" for file in files]
    with layout.whole(layout.code(of)) as target:
        (target / "sha256.txt").write_text("".join(lines), encoding="utf-8")


STAGE = stage(main, of=str)

if __name__ == "__main__":
    STAGE.main()
