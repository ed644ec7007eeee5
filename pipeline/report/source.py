"""Reads and checks the aggregate stage's files."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas

from pipeline.aggregation import KEYS, TIE_BOUNDS
from pipeline.runtime.errors import UserError

COLUMNS = {
    "results.csv": (
        *KEYS, "n", "map_mean", "map_std",
        "map_improvement_percent", "map_difference", "map_p_value", "map_note",
    ),
    "cells.csv": (*KEYS, "seed", "map"),
    "history.csv": (*KEYS, "epoch"),
    "balance.csv": (*KEYS, "n"),
}  # fmt: skip
#: Columns of the files that only some studies have; of ``curves.csv``, that committed tables leave out for its size.
OPTIONAL = {
    "curves.csv": (*KEYS, "by", "at", "precision_mean", "recall_mean"),
    "informativeness.csv": (*KEYS, "n"),
    "tuning.csv": (*KEYS, "trial", "setting", "n", "validation_map_mean", "validation_map_std", "chosen"),
    "timing.csv": (*KEYS, "batch_size", "epochs", "seconds_median", "seconds_std", "overhead_percent"),
    "batch_size.csv": (*KEYS, "batch_size", "n", "validation_map_mean", "validation_map_std"),
    "tsne.csv": ("of", *KEYS, "seed", "label", "x", "y"),
    "gallery.csv": (
        *KEYS,
        "seed",
        "row",
        "query",
        "query_classes",
        "rank",
        "image",
        "classes",
        "distance",
        "relevant",
    ),
}
#: Numeric columns that identify a row and so must hold a number; measured values may be missing.
NUMBERS = {"bits", "seed", "epoch", "batch_size", "label", "row", "rank", "distance"}
AGAIN = "Run the aggregate stage again."
#: Required keys of ``about.json``.
ABOUT = (
    "study", "dataset", "images", "image_size", "classes", "content_hash", "protocol", "split", "seeds", "backbone",
    "head", "training", "ties", "top_k", "precision_at", "informativeness", "selection", "tune", "published",
    "class_names", "test", "significance", "methods", "quantizers", "missing",
)  # fmt: skip
#: Required keys of these values of ``about.json`` (of each item in a list), unless the value is null.
ABOUT_INNER = {
    "published": ("dataset", "tables"),
    "tune": ("seeds", "settings", "candidates"),
    "missing": ("method", "quantizer", "bits", "seed", "reason"),
}


@dataclass(frozen=True)
class Source:
    """The contents of the aggregate stage's folder; CSV values are kept as text, so that no digit is lost."""

    about: dict[str, Any]
    results: pandas.DataFrame
    cells: pandas.DataFrame
    history: pandas.DataFrame
    balance: pandas.DataFrame
    # None if the study does not have it:
    curves: pandas.DataFrame | None = None
    informativeness: pandas.DataFrame | None = None
    tuning: pandas.DataFrame | None = None
    timing: pandas.DataFrame | None = None
    batch_size: pandas.DataFrame | None = None
    tsne: pandas.DataFrame | None = None
    gallery: pandas.DataFrame | None = None
    folder: Path = Path()
    """Where the files are; ``gallery/<cell>.png`` beside ``gallery.csv``."""

    @property
    def methods(self) -> list[str]:
        return list(dict.fromkeys(self.results["method"]))

    @property
    def methods_apart(self) -> dict[str, list[str]]:
        """The methods that are trained (""), and those that aren't: the values of the two don't suit one axis.

        A method without training has a history without a loss. What has no history counts as trained.
        """
        losses = self.history["loss_mean"] if "loss_mean" in self.history else self.history["epoch"]
        free = set(self.history["method"]) - set(self.history["method"][losses != ""])
        apart = {
            "": [name for name in self.methods if name not in free],
            "without training": [name for name in self.methods if name in free],
        }
        return {kind: names for kind, names in apart.items() if names}

    @property
    def quantizers(self) -> list[str]:
        tables = (self.results, self.cells, self.history, self.tuning, self.timing, self.batch_size)
        named = [name for table in tables if table is not None for name in table["quantizer"]]
        return list(dict.fromkeys([*named, *(str(cell["quantizer"]) for cell in self.missing if cell["quantizer"])]))

    @property
    def bits(self) -> list[str]:
        """The code lengths, ascending."""
        return sorted(dict.fromkeys(self.results["bits"]), key=float)

    @property
    def seeds(self) -> list[str]:
        """The study's seeds."""
        return [str(seed) for seed in self.about["seeds"]]

    @property
    def metrics(self) -> list[str]:
        """Names of the metrics other than ``map`` and its tie bounds, such as ``precision@100``, in column order."""
        return [name for name in measured(self.results) if name not in ("map", *TIE_BOUNDS)]

    @property
    def map_label(self) -> str:
        """``mAP``, or ``mAP@k`` if only the k nearest images count."""
        top = self.about["top_k"]
        return "mAP" if top is None else f"mAP@{top}"

    @property
    def tune(self) -> dict[str, Any] | None:
        """The tuning's seeds, number of settings per quantizer, and candidates; None if nothing was tuned."""
        tune: dict[str, Any] | None = self.about["tune"]
        return tune

    @property
    def published(self) -> dict[str, Any]:
        """The published tables to compare the study with, and the published dataset that corresponds to the study's."""
        published: dict[str, Any] = self.about["published"]
        return published

    @property
    def missing(self) -> list[dict[str, Any]]:
        """The cells and other outputs without numbers, each with its reason."""
        return list(self.about["missing"])

    @property
    def unmeasured(self) -> list[str]:
        """Names of the missing outputs that are not cells, such as ``csq.timing-64``."""
        return [str(record.get("cell", "")) for record in self.missing if not record["method"]]

    def reason(self, method: str, quantizer: str, bits: str) -> str:
        """Why cells of this (method, quantizer, bits) have no numbers; empty if all have."""
        key = (method, quantizer, float(bits))
        reasons = [str(cell["reason"]) for cell in self.missing
                   if cell["method"] and (cell["method"], cell["quantizer"], float(cell["bits"])) == key]  # fmt: skip
        return "; ".join(dict.fromkeys(reasons))


def measured(table: pandas.DataFrame) -> list[str]:
    """Names of the metrics that have a mean in the table, in column order."""
    return [column.removesuffix("_mean") for column in table.columns if column.endswith("_mean")]


def number(text: str) -> float | None:
    """``text`` as a number; None if it is empty, ``nan`` or not a number."""
    try:
        value = float(text)
    except ValueError:
        return None
    return None if math.isnan(value) else value


def read(folder: Path) -> Source:
    """Read the files of the aggregate stage.

    Args:
        folder: holds ``about.json``, the CSV files of ``COLUMNS``, and those of ``OPTIONAL`` that the study has.

    Raises:
        UserError: a file is missing or unreadable, lacks a key or a column, or has text in a numeric column; or
            ``results.csv`` has no rows.
    """
    about = _read_about(folder / "about.json")
    tables = {name: _read_csv(folder / name, columns) for name, columns in COLUMNS.items()}
    if tables["results.csv"].empty:
        raise UserError(f"{folder / 'results.csv'} has no rows: nothing to report. {AGAIN}")
    asked = {name: columns for name, columns in OPTIONAL.items() if (folder / name).exists()}
    tables |= {name: _read_csv(folder / name, columns) for name, columns in asked.items()}
    return Source(about, **{name.removesuffix(".csv"): table for name, table in tables.items()}, folder=folder)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{path} is missing: the report needs it. Run the aggregate stage first.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({error}). {AGAIN}") from None


def _read_about(path: Path) -> dict[str, Any]:
    try:
        about = json.loads(_text(path))
    except json.JSONDecodeError as error:
        raise UserError(f"{path} is not JSON ({error}). {AGAIN}") from None
    missing = [key for key in ABOUT if not isinstance(about, dict) or key not in about]
    if missing:
        raise UserError(f"{path} lacks {', '.join(missing)}. {AGAIN}")
    for name, keys in ABOUT_INNER.items():
        part = about[name]
        for item in part if name == "missing" else [part] * (part is not None):
            lacking = [key for key in keys if not isinstance(item, dict) or key not in item]
            if lacking:
                raise UserError(f"{path}: {name} lacks {', '.join(lacking)}. {AGAIN}")
    return dict(about)


def _read_csv(path: Path, required: tuple[str, ...]) -> pandas.DataFrame:
    _text(path)  # raises the same errors as for about.json
    try:
        table = pandas.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
    except (pandas.errors.EmptyDataError, pandas.errors.ParserError) as error:
        raise UserError(f"{path} is not a CSV table ({error}). {AGAIN}") from None
    missing = [column for column in required if column not in table.columns]
    if missing:
        raise UserError(f"{path} lacks the column {', '.join(missing)}. {AGAIN}")
    for column in NUMBERS & set(required):
        # in tsne.csv, rows of images and features have no bits
        wrong = [text for text in table[column] if number(text) is None and (text or "of" not in required)]
        if wrong:
            raise UserError(f"{path}: {column} must be a number, not {wrong[0]!r}. {AGAIN}")
    return table
