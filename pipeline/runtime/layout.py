"""Cells, and the paths of a study's files.

All outputs of a study are in ``results/<study>/``, with one folder per stage:

    data/prepared/   packed images and labels, manifest.json            (prepare)
    data/features-<view>/  outputs of the frozen backbone, if any       (features)
    splits/<seed>/   query, database, train, validation indices         (split)
    shared/<stage>/  record of the code and params that all cells       (shared-<stage>, files-dataset,
                     share; of raw files, weights and lists, if any      files-weights, files-lists)
    tuning/<group>/  the setting that a (method, quantizer, bits) uses  (tune)
    train/<cell>/    weights, per-epoch history, training metrics       (train)
    codes/<cell>/    packed codes with their labels and image indices   (encode)
    metrics/<cell>/  all metrics of the cell, and its training history  (evaluate)
    metrics/<cell>.informativeness-<part>/                              (informativeness, if enabled)
    metrics/<method>.timing-<batch size>/                               (timing, if enabled)
    metrics/<group>.batch-<batch size>-<seed>/                          (batch-size, if enabled)
    metrics/<cell>.visualize/, metrics/inputs.visualize-<seed>/         (visualize, if enabled)
    tables/          one row per cell, one row per group                (aggregate)
    report/          the HTML page, tables as files, figures            (report)

Two kinds of file are not DVC outputs: ``failed/<cell>.txt`` says why a cell has no results, and
``times/<cell>.json`` says when this machine trained it. ``made_of.json`` in each folder records what the output was
made of (``provenance``). For the data and the splits it is next to the folder.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from pipeline.params import schema
from pipeline.runtime import provenance
from pipeline.runtime.outputs import atomic_folder


@dataclass(frozen=True, order=True)
class Group:
    """One (method, quantizer, bits): cells that differ only in their seed and share one tuned setting."""

    method: str
    quantizer: str
    bits: int

    @property
    def name(self) -> str:
        """The group's name in paths: ``dsdh-wr-16``."""
        return f"{self.method}-{self.quantizer}-{self.bits}"


@dataclass(frozen=True, order=True)
class Cell:
    """One (method, quantizer, bits, seed): the unit of training, encoding and evaluation."""

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


def cells_of(grid: schema.Grid) -> list[Cell]:
    """All cells of ``params["grid"]``, in the grid's own order (method, quantizer, bits, seed).

    Methods without training come last; ``original`` is their only quantizer.
    """
    pairs = [*product(grid["methods"], grid["quantizers"]), *product(grid["training_free"], ["original"])]
    return [Cell(*pair, bits, seed) for pair in pairs for bits in grid["bits"] for seed in grid["seeds"]]


def groups_of(grid: schema.Grid) -> list[Group]:
    """All groups of ``params["grid"]``, in the grid's own order."""
    return list(dict.fromkeys(cell.group for cell in cells_of(grid)))


@dataclass(frozen=True)
class Layout:
    """Paths of one study.

    Args:
        study: the study's name.
        root: the project's root; the current folder by default.
        record: provenance record that is stored with each output; None to store none.
    """

    study: str
    root: Path = Path()
    record: provenance.Record | None = None

    @property
    def folder(self) -> Path:
        return self.root / "results" / self.study

    def aside(self, target: Path) -> Path:
        """Temporary folder in which an output is written; DVC and git ignore it."""
        return self.folder / ".partial" / f"{target.parent.name}-{target.name}"

    @contextmanager
    def atomic_output(self, target: Path, *, resume: bool = False) -> Iterator[Path]:
        """Write an output folder atomically, with its provenance record.

        Args:
            target: one of the folders below.
            resume: keep the files of an interrupted run, see ``outputs.atomic_folder``.

        Yields:
            the temporary folder to write into; it is moved to ``target`` if the block succeeds.
        """
        with atomic_folder(target, self.aside(target), resume=resume) as folder:
            yield folder
            if self.record is not None:
                provenance.write(self.record, folder, target, self.folder)

    @property
    def inputs(self) -> Path:
        """The folder that the stages of cells depend on: it holds the prepared data and the features."""
        return self.folder / "data"

    @property
    def data(self) -> Path:
        return self.inputs / "prepared"

    def features(self, view: str) -> Path:
        return self.inputs / f"features-{view}"

    def split(self, seed: int) -> Path:
        return self.folder / "splits" / str(seed)

    def shared(self, stage: str) -> Path:
        return self.folder / "shared" / stage / "code_and_params"

    @property
    def raw_files(self) -> Path:
        return self.folder / "shared" / "prepare" / "files"

    def lists(self, stage: str) -> Path:
        return self.folder / "shared" / stage / "lists"

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
