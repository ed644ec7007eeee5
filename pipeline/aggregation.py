"""Cells become tables: one row a cell, one row a (method, quantizer, bits) with its test against the baseline."""

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.runtime.errors import UserError
from pipeline.runtime.layout import Cell, Layout, cells_of
from pipeline.runtime.outputs import read_json, write_json
from pipeline.statistics import compare

BASELINE = "original"
KEYS = ["method", "quantizer", "bits"]


def aggregate(params: dict[str, Any], layout: Layout, target: Path) -> None:
    """Write the study's tables.

    ``cells.csv``, ``results.csv``, ``results.json``, ``history.csv`` (mean and standard deviation over seeds for each
    epoch), ``metrics/`` (the headline numbers, a file a row of ``dvc metrics show``) and ``about.json`` (the protocol).

    Metrics of cells that the grid no longer names are removed from the workspace first: this stage
    depends on their folder as a whole. DVC's cache keeps them; a value put back is restored, not run.
    """
    cells = cells_of(params["grid"])
    _drop_others(layout.all_metrics, cells)
    table = cell_table(cells, layout)
    metrics = ["map", *(f"precision@{n}" for n in params["evaluation"]["precision_at"])]
    results = result_table(table, metrics, paired=params["statistics"]["paired"])
    table.to_csv(target / "cells.csv", index=False)
    results.to_csv(target / "results.csv", index=False)
    write_json(target / "results.json", json.loads(results.to_json(orient="records", double_precision=15)))
    history_table(cells, layout).to_csv(target / "history.csv", index=False)
    (target / "metrics").mkdir()
    for name, numbers in headline(results, metrics).items():
        write_json(target / "metrics" / f"{name}.json", numbers)
    write_json(target / "about.json", about(params, layout))


def _drop_others(folder: Path, cells: list[Cell]) -> None:
    names = {cell.name for cell in cells}
    for found in sorted(folder.iterdir()):
        if found.name not in names:
            shutil.rmtree(found)


def cell_table(cells: list[Cell], layout: Layout) -> pd.DataFrame:
    """One row a cell, in the grid's order, with all that ``evaluate`` measured."""
    rows = []
    for cell in cells:
        try:
            rows.append(read_json(layout.metrics(cell) / "metrics.json"))
        except FileNotFoundError:
            raise UserError(f"{layout.metrics(cell)}: the cell has no metrics; run `dvc repro`") from None
    return pd.DataFrame(rows)


def result_table(table: pd.DataFrame, metrics: list[str], *, paired: bool) -> pd.DataFrame:
    """Mean and sample standard deviation over seeds, and each quantizer's test against ``original``.

    A paired test compares the seeds that both have. Where no test is possible, ``<metric>_note`` says why.
    """
    rows = []
    for keys, group in table.groupby(KEYS, sort=False):
        method, quantizer, bits = keys  # type: ignore[misc]
        baseline = table[(table["method"] == method) & (table["quantizer"] == BASELINE) & (table["bits"] == bits)]
        row: dict[str, Any] = {"method": method, "quantizer": quantizer, "bits": bits, "n": len(group)}
        for metric in metrics:
            row[f"{metric}_mean"] = group[metric].mean()
            row[f"{metric}_std"] = group[metric].std()
            row |= _against(baseline, group, metric, paired)
        rows.append(row)
    return pd.DataFrame(rows)


def _against(baseline: pd.DataFrame, group: pd.DataFrame, metric: str, paired: bool) -> dict[str, Any]:
    empty = {"difference": None, "improvement_percent": None, "p_value": None}
    if group["quantizer"].iloc[0] == BASELINE:
        found: dict[str, Any] = {**empty, "note": "baseline"}
    elif baseline.empty:
        found = {**empty, "note": f"no {BASELINE} in the grid"}
    else:
        both = baseline[["seed", metric]].merge(group[["seed", metric]], on="seed", suffixes=("_a", "_b"))
        if paired and both.empty:
            return {f"{metric}_{name}": value for name, value in {**empty, "note": "no common seed"}.items()}
        a, b = (both[f"{metric}_a"], both[f"{metric}_b"]) if paired else (baseline[metric], group[metric])
        result = compare(a.tolist(), b.tolist(), paired=paired)
        found = {
            "difference": result.mean_difference,
            "improvement_percent": result.relative_improvement,
            "p_value": result.p_value,
            "note": result.note,
        }
    return {f"{metric}_{name}": value for name, value in found.items()}


def history_table(cells: list[Cell], layout: Layout) -> pd.DataFrame:
    """Mean and standard deviation over seeds of every column of the histories, for each epoch."""
    frames = []
    for cell in cells:
        frame = pd.read_csv(layout.metrics(cell) / "history.csv")
        frame.insert(0, "bits", cell.bits)
        frame.insert(0, "quantizer", cell.quantizer)
        frame.insert(0, "method", cell.method)
        frames.append(frame)
    groups = pd.concat(frames).groupby([*KEYS, "epoch"], sort=False)
    spread = groups.agg(["mean", "std"])
    spread.columns = [f"{name}_{statistic}" for name, statistic in spread.columns]
    return spread.reset_index()


def headline(results: pd.DataFrame, metrics: list[str]) -> dict[str, dict[str, float]]:
    """``method-quantizer-bits`` -> metric -> mean over seeds, what `dvc metrics` and `dvc exp show` show."""
    return {
        f"{row['method']}-{row['quantizer']}-{row['bits']}": {
            metric: round(row[f"{metric}_mean"], 6) for metric in metrics
        }
        for row in results.to_dict("records")
    }


def about(params: dict[str, Any], layout: Layout) -> dict[str, Any]:
    """The protocol behind the tables: what a reader must know to compare the numbers with others."""
    manifest = read_json(layout.data / "manifest.json")
    seeds = params["grid"]["seeds"]
    split = read_json(layout.split(seeds[0]) / "split.json")
    kind = "paired two-sided t-test over seeds" if params["statistics"]["paired"] else "two-sided Welch t-test"
    used = {name: quantizers for name, quantizers in params["grid"]["methods"].items() if quantizers}
    return {
        "study": params["study"],
        "dataset": params["dataset"]["name"],
        "images": manifest["images"],
        "image_size": manifest["image_size"],
        "classes": len(manifest["classes"]),
        "content_hash": manifest["content_hash"],
        "protocol": params["split"]["protocol"],
        "split": {part: split[part] for part in ("query", "database", "train", "validation")},
        "seeds": seeds,
        "backbone": params["backbone"],
        "training": params["training"],
        **params["evaluation"],
        "selection": params["training"]["selection"],
        "test": kind,
        "significance": params["statistics"]["significance"],
        "methods": {name: params["methods"][name] for name in used},
        "quantizers": {q: params["quantizers"][q] for q in dict.fromkeys(sum(used.values(), []))},
    }
