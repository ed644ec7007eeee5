"""Which results on disk are of other params than params.yaml has now: an edit that `dvc repro` hasn't followed yet."""

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from pipeline.runtime.layout import Cell, Layout


class Locks:
    """What DVC's lock files say about the params that results were made with.

    A result that no lock file speaks of, such as one of a stage that was run by hand, is taken for the params' own.
    """

    def __init__(self, params: dict[str, Any], layout: Layout) -> None:
        self._params = params
        self._folder = layout.folder
        self._read: dict[Path, dict[str, Any]] = {}

    def outdated(self, cell: Cell) -> bool:
        """Whether the data, the split, the tuned setting, the weights or the metrics of a cell are of other params."""
        top, own = Path("dvc.lock"), Path("cells", cell.method)
        return any(
            self._differs(file, stage)
            for file, stage in (
                (top, "prepare"),
                (top, f"split@{cell.seed}"),
                (own / "tune" / "dvc.lock", f"tune@{cell.group.name}"),
                (own / "train" / "dvc.lock", f"train@{cell.name}"),
                (own / "evaluate" / "dvc.lock", f"evaluate@{cell.name}"),
            )
        )

    def _differs(self, file: Path, stage: str) -> bool:
        entry = self._stages(file).get(stage)
        if entry is None or not any(self._folder in Path(out["path"]).parents for out in entry.get("outs", [])):
            return False  # never run, or for another study
        used = entry.get("params", {}).get("params.yaml", {})
        return any(_lookup(self._params, name) != value for name, value in used.items())

    def _stages(self, file: Path) -> dict[str, Any]:
        if file not in self._read:
            text = file.read_text(encoding="utf-8") if file.exists() else ""
            # DVC's own parser: another one reads 1e-05 as text.
            content = YAML(typ="safe").load(text) or {}
            self._read[file] = content.get("stages") or {}
        return self._read[file]


def _lookup(tree: Any, name: str) -> Any:
    """The value of a dotted name; None where there is none."""
    for key in name.split("."):
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree
