"""What the aggregate stage left: read, checked, and kept as the text that stands in the files."""

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
    "curves.csv": (*KEYS, "by", "at", "precision_mean", "recall_mean"),
}  # fmt: skip
#: What only some studies measure, by file; a file that isn't there wasn't asked for.
OPTIONAL = {
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
#: Columns that say which point a row is; what is measured there may be missing.
NUMBERS = {"bits", "seed", "epoch", "batch_size", "label", "row", "rank", "distance"}
AGAIN = "Run the aggregate stage again."
#: Keys of ``about.json``.
ABOUT = (
    "study", "dataset", "images", "image_size", "classes", "content_hash", "protocol", "split", "seeds", "backbone",
    "training", "ties", "top_k", "precision_at", "informativeness", "selection", "tune", "published", "class_names",
    "test", "significance", "methods", "quantizers", "missing",
)  # fmt: skip
#: Keys that the value of one of these must hold, where it isn't null (a list: each of its items).
ABOUT_INNER = {
    "published": ("dataset", "tables"),
    "tune": ("seeds", "settings", "candidates"),
    "missing": ("method", "quantizer", "bits", "seed", "reason"),
}


@dataclass(frozen=True)
class Source:
    """The aggregate stage's folder in memory; every CSV value is still text, so that no digit is lost."""

    about: dict[str, Any]
    results: pandas.DataFrame
    cells: pandas.DataFrame
    history: pandas.DataFrame
    balance: pandas.DataFrame
    curves: pandas.DataFrame
    # None where the study didn't ask for it:
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
        """Names of the aggregated metrics beside ``map``, such as ``precision@100``, in column order."""
        return [name for name in measured(self.results) if name not in ("map", *TIE_BOUNDS)]

    @property
    def map_label(self) -> str:
        """``mAP``, or ``mAP@k`` where only the k nearest images count."""
        top = self.about["top_k"]
        return "mAP" if top is None else f"mAP@{top}"

    @property
    def tune(self) -> dict[str, Any] | None:
        """The tuning's seeds, settings a quantizer and candidates; None where nothing was tuned."""
        tune: dict[str, Any] | None = self.about["tune"]
        return tune

    @property
    def published(self) -> dict[str, Any]:
        """The published tables that the study is set beside, and the published dataset that its own stands for."""
        published: dict[str, Any] = self.about["published"]
        return published

    @property
    def missing(self) -> list[dict[str, Any]]:
        """The cells without numbers, each with its reason."""
        return list(self.about["missing"])

    @property
    def unmeasured(self) -> list[str]:
        """What the study asks for beside its cells and doesn't have: ``csq.timing-64``."""
        return [str(record.get("cell", "")) for record in self.missing if not record["method"]]

    def reason(self, method: str, quantizer: str, bits: str) -> str:
        """Why cells of this (method, quantizer, bits) have no numbers; empty where all have."""
        key = (method, quantizer, float(bits))
        reasons = [str(cell["reason"]) for cell in self.missing
                   if cell["method"] and (cell["method"], cell["quantizer"], float(cell["bits"])) == key]  # fmt: skip
        return "; ".join(dict.fromkeys(reasons))


def measured(table: pandas.DataFrame) -> list[str]:
    """Names of the metrics whose means a table holds, in column order."""
    return [column.removesuffix("_mean") for column in table.columns if column.endswith("_mean")]


def number(text: str) -> float | None:
    """The number that ``text`` spells; None for an empty field, ``nan`` or what is no number."""
    try:
        value = float(text)
    except ValueError:
        return None
    return None if math.isnan(value) else value


def read(folder: Path) -> Source:
    """Read the files of the aggregate stage.

    Args:
        folder: holds ``about.json``, the CSV files of ``COLUMNS``, and those of ``OPTIONAL`` that the study asked for.

    Raises:
        UserError: a file is missing or unreadable, or lacks a key, a column or (results) its rows.
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
    _text(path)  # one wording for a missing or undecodable file
    try:
        table = pandas.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
    except (pandas.errors.EmptyDataError, pandas.errors.ParserError) as error:
        raise UserError(f"{path} is not a CSV table ({error}). {AGAIN}") from None
    missing = [column for column in required if column not in table.columns]
    if missing:
        raise UserError(f"{path} lacks the column {', '.join(missing)}. {AGAIN}")
    for column in NUMBERS & set(required):
        # images and features, which t-SNE shows beside codes, have no bits
        wrong = [text for text in table[column] if number(text) is None and (text or "of" not in required)]
        if wrong:
            raise UserError(f"{path}: {column} must be a number, not {wrong[0]!r}. {AGAIN}")
    return table
