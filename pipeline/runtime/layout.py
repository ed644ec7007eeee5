"""Cells, and where a study keeps its files.

Everything that a study makes lies below ``results/<study>/``, one folder a stage:

    data/            packed images and labels, manifest.json            (prepare)
    splits/<seed>/   query, database, train, validation indices         (split)
    shared/<stage>/  record of the code and params that all cells       (shared-<stage>,
                     share; of raw files and weights, if there are any   files-dataset, files-weights)
    tuning/<group>/  the setting that a (method, quantizer, bits) uses  (tune)
    train/<cell>/    weights, per-epoch history, training metrics       (train)
    codes/<cell>/    packed codes with their labels and image indices   (encode)
    metrics/<cell>/  every number about the cell, and its history       (evaluate)
    metrics/<cell>.informativeness-<part>/                              (informativeness, where it is on)
    metrics/<method>.timing-<batch size>/                               (timing, where it is on)
    metrics/<group>.batch-<batch size>-<seed>/                          (batch-size, where it is on)
    metrics/<cell>.visualize/, metrics/inputs.visualize-<seed>/         (visualize, where it is on)
    tables/          one row a cell, one row a (method, quantizer, bits)  (aggregate)
    report/          the page, tables as files, figures                 (report)

and, as no stage's output, ``failed/<cell>.txt``: why a cell has no results, and ``times/<cell>.json``: when this
machine trained it. ``made_of.json`` in each folder, or beside the data and the splits, says what it was made of
(``provenance``).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.runtime import provenance
from pipeline.runtime.outputs import atomic_folder


@dataclass(frozen=True, order=True)
class Group:
    """One (method, quantizer, bits): the cells that share all but their seed, and one tuned setting."""

    method: str
    quantizer: str
    bits: int

    @property
    def name(self) -> str:
        """``dsdh-wr-16``."""
        return f"{self.method}-{self.quantizer}-{self.bits}"


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
        return f"{self.group.name}-{self.seed}"

    @property
    def group(self) -> Group:
        return Group(self.method, self.quantizer, self.bits)


def cells_of(grid: dict[str, Any]) -> list[Cell]:
    """All cells of ``params["grid"]``, in the grid's own order (method, quantizer, bits, seed)."""
    return [
        Cell(method, quantizer, bits, seed)
        for method in grid["methods"]
        for quantizer in grid["quantizers"]
        for bits in grid["bits"]
        for seed in grid["seeds"]
    ]


def groups_of(grid: dict[str, Any]) -> list[Group]:
    """All groups of ``params["grid"]``, in the grid's own order."""
    return list(dict.fromkeys(cell.group for cell in cells_of(grid)))


@dataclass(frozen=True)
class Layout:
    """Paths of one study, relative to the project's root unless ``root`` says otherwise.

    Args:
        record: what is being made is made of this; None where nothing is made.
    """

    study: str
    root: Path = Path()
    record: provenance.Record | None = None

    @property
    def folder(self) -> Path:
        return self.root / "results" / self.study

    def aside(self, target: Path) -> Path:
        """Where an output is while it is being written; DVC and git ignore it."""
        return self.folder / ".partial" / f"{target.parent.name}-{target.name}"

    @contextmanager
    def atomic_output(self, target: Path, *, resume: bool = False) -> Iterator[Path]:
        """Write one of the folders below aside; it appears at its place, with its record, when the block ends well."""
        with atomic_folder(target, self.aside(target), resume=resume) as folder:
            yield folder
            if self.record is not None:
                provenance.write(self.record, folder, target, self.folder)

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def split(self, seed: int) -> Path:
        return self.folder / "splits" / str(seed)

    def shared(self, stage: str) -> Path:
        return self.folder / "shared" / stage / "code_and_params"

    @property
    def raw_files(self) -> Path:
        return self.folder / "shared" / "prepare" / "files"

    def weights_file(self, stage: str) -> Path:
        return self.folder / "shared" / stage / "weights"

    @property
    def all_tuning(self) -> Path:
        return self.folder / "tuning"

    def tuning(self, group: Group) -> Path:
        return self.all_tuning / group.name

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

    def timing(self, method: str, batch_size: int) -> Path:
        return self.all_metrics / f"{method}.timing-{batch_size}"

    def batch_size(self, group: Group, batch_size: int, seed: int) -> Path:
        return self.all_metrics / f"{group.name}.batch-{batch_size}-{seed}"

    def visualized(self, cell: Cell) -> Path:
        return self.all_metrics / f"{cell.name}.visualize"

    def visualized_inputs(self, seed: int) -> Path:
        return self.all_metrics / f"inputs.visualize-{seed}"

    def failure(self, cell: Cell | Group) -> Path:
        return self.folder / "failed" / f"{cell.name}.txt"

    def times(self, cell: Cell) -> Path:
        return self.folder / "times" / f"{cell.name}.json"

    @property
    def tables(self) -> Path:
        return self.folder / "tables"

    @property
    def report(self) -> Path:
        return self.folder / "report"
