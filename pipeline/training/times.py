"""When a cell was trained on this machine.

The times are not part of a stage's output, because two trainings of the same cell must write identical files.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.runtime import provenance
from pipeline.runtime.layout import Cell, Layout
from pipeline.runtime.outputs import read_json, write_json


@contextmanager
def noted(layout: Layout, cell: Cell) -> Iterator[None]:
    """Write a file with the times at which the block, which trains the cell, began and ended; none if it fails."""
    begun = _now()
    yield
    file = layout.times(cell)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, {"of": _trained(layout, cell), "begun": begun, "ended": _now()})


def of(layout: Layout, cell: Cell) -> dict[str, int]:
    """``begun`` and ``ended`` in milliseconds since 1970; empty if the present weights were made elsewhere."""
    try:
        found = read_json(layout.times(cell))
        same = found["of"] is not None and found["of"] == _trained(layout, cell)
        return {key: found[key] for key in ("begun", "ended")} if same else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _trained(layout: Layout, cell: Cell) -> str | None:
    return provenance.content(layout.folder, f"train/{cell.name}")


def _now() -> int:
    return int(time.time() * 1000)
