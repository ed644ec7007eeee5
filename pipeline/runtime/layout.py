"""Cells, and where a study keeps its files.

Everything that a study makes lies below ``results/<study>/``, one folder a stage:

    data/            packed images and labels, manifest.json            (prepare)
    splits/<seed>/   query, database, train, validation indices         (split)
    code/<stage>/    hashes of the modules that all cells share         (code-<stage>)
    train/<cell>/    weights, per-epoch history, training metrics       (train)
    codes/<cell>/    packed codes with their labels and image indices   (encode)
    metrics/<cell>/  every number about the cell, and its history       (evaluate)
    metrics/<cell>.informativeness-<part>/                              (informativeness, where it is on)
    tables/          one row a cell, one row a (method, quantizer, bits)  (aggregate)
    report/          the page, Markdown tables, figures                 (report)
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.runtime.outputs import whole_folder


@dataclass(frozen=True, order=True)
class Cell:
    """One (method, quantizer, bits, seed): what is trained, encoded and evaluated as a unit."""

    method: str
    quantizer: str
    bits: int
    seed: int

    @property
    def name(self) -> str:
        """The cell's name in paths, DVC stage names and MLflow: ``dsdh-wr-16-0``."""
        return f"{self.method}-{self.quantizer}-{self.bits}-{self.seed}"


def cells_of(grid: dict[str, Any]) -> list[Cell]:
    """All cells of ``params["grid"]``, in the grid's own order (method, quantizer, bits, seed)."""
    return [
        Cell(method, quantizer, bits, seed)
        for method, quantizers in grid["methods"].items()
        for quantizer in quantizers
        for bits in grid["bits"]
        for seed in grid["seeds"]
    ]


@dataclass(frozen=True)
class Layout:
    """Paths of one study, relative to the project's root unless ``root`` says otherwise."""

    study: str
    root: Path = Path()

    @property
    def folder(self) -> Path:
        return self.root / "results" / self.study

    def aside(self, target: Path) -> Path:
        """Where an output is while it is being written; DVC and git ignore it."""
        return self.folder / ".partial" / f"{target.parent.name}-{target.name}"

    def whole(self, target: Path, *, resume: bool = False) -> AbstractContextManager[Path]:
        """Write one of the folders below aside; it appears at its place when the block ends well."""
        return whole_folder(target, self.aside(target), resume=resume)

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def split(self, seed: int) -> Path:
        return self.folder / "splits" / str(seed)

    def code(self, stage: str) -> Path:
        return self.folder / "code" / stage

    def train(self, cell: Cell) -> Path:
        return self.folder / "train" / cell.name

    def codes(self, cell: Cell) -> Path:
        return self.folder / "codes" / cell.name

    @property
    def all_metrics(self) -> Path:
        return self.folder / "metrics"

    def metrics(self, cell: Cell) -> Path:
        return self.all_metrics / cell.name

    def informativeness(self, cell: Cell, part: str) -> Path:
        return self.all_metrics / f"{cell.name}.informativeness-{part}"

    @property
    def tables(self) -> Path:
        return self.folder / "tables"

    @property
    def report(self) -> Path:
        return self.folder / "report"
