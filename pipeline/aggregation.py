"""Cells become tables: one row a cell, one row a (method, quantizer, bits) with its test against the baseline."""

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.runtime.errors import UserError
from pipeline.runtime.layout import Cell, Layout, cells_of
from pipeline.runtime.outputs import read_json, write_json
from pipeline.statistics import compare, holm

#: The quantizer that the others of the same method and code length are compared with.
BASELINE = "original"
KEYS = ["method", "quantizer", "bits"]
#: What ``evaluate`` measures on codes apart from retrieval, in the order of the table.
BALANCE = [
    "bit_imbalance",
    "bit_correlation",
    "dead_bits",
    "code_entropy",
    "distinct_codes",
    "collision_rate",
    "quantization_error",
]
TIE_BOUNDS = ["map_pessimistic", "map_optimistic"]


def aggregate(params: dict[str, Any], layout: Layout, target: Path) -> None:
    """Write the study's tables.

    ``cells.csv``: one row a cell. ``results.csv`` and ``results.json``, ``balance.csv``, ``informativeness.csv``
    (only where it was measured): one row a (method, quantizer, bits) with tests against the baseline.
    ``history.csv`` and ``curves.csv``: mean and standard deviation over seeds for each epoch, or each rank and
    radius. ``metrics/``: the headline numbers, a file a row of ``dvc metrics show``. ``about.json``: the protocol.

    Metrics of cells that the grid no longer names are removed from the workspace first: this stage
    depends on their folder as a whole. DVC's cache keeps them; a value put back is restored, not run.
    """
    cells, parts = cells_of(params["grid"]), params["informativeness"]["of"]
    _drop_others(layout, cells, parts)
    table, paired = cell_table(cells, parts, layout), params["statistics"]["paired"]
    metrics = ["map", *TIE_BOUNDS, *(name for name in table.columns if name.startswith("precision@"))]
    results = result_table(table, metrics, paired=paired)
    table.to_csv(target / "cells.csv", index=False)
    results.to_csv(target / "results.csv", index=False)
    write_json(target / "results.json", json.loads(results.to_json(orient="records", double_precision=15)))
    result_table(table, BALANCE, paired=paired).to_csv(target / "balance.csv", index=False)
    if parts:
        informativeness = [f"informativeness_{part}" for part in parts]
        result_table(table, informativeness, paired=paired).to_csv(target / "informativeness.csv", index=False)
    over_seeds(cells, layout, "history.csv", ["epoch"]).to_csv(target / "history.csv", index=False)
    over_seeds(cells, layout, "curves.csv", ["by", "at"]).to_csv(target / "curves.csv", index=False)
    (target / "metrics").mkdir()
    for name, numbers in headline(results, [m for m in metrics if m not in TIE_BOUNDS]).items():
        write_json(target / "metrics" / f"{name}.json", numbers)
    write_json(target / "about.json", about(params, layout))


def _drop_others(layout: Layout, cells: list[Cell], parts: list[str]) -> None:
    named = {layout.metrics(cell) for cell in cells}
    named |= {layout.informativeness(cell, part) for cell in cells for part in parts}
    for found in sorted(layout.all_metrics.iterdir()):
        if found not in named:
            shutil.rmtree(found)


def cell_table(cells: list[Cell], parts: list[str], layout: Layout) -> pd.DataFrame:
    """One row a cell, in the grid's order, with all that was measured; ``informativeness_<part>`` where it was."""
    rows = []
    for cell in cells:
        row = _measured(layout.metrics(cell) / "metrics.json")
        for part in parts:
            found = _measured(layout.informativeness(cell, part) / "informativeness.json")
            row |= {f"informativeness_{part}": found["mean"], f"informativeness_{part}_over_restarts": found["std"]}
        rows.append(row)
    return pd.DataFrame(rows)


def _measured(file: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = read_json(file)
    except FileNotFoundError:
        raise UserError(f"{file.parent}: the cell has no metrics; run `dvc repro`") from None
    return content


def result_table(table: pd.DataFrame, metrics: list[str], *, paired: bool) -> pd.DataFrame:
    """Mean and sample standard deviation over seeds, and each quantizer's test against ``original``.

    A paired test compares the seeds that both have. Where no test is possible, ``<metric>_note`` says why. A cell
    that has no value of a metric (codes whose bits are all dead have no correlation) is left out of it.
    ``<metric>_p_holm`` is adjusted for all tests of the metric in the table.
    """
    rows = []
    for keys, group in table.groupby(KEYS, sort=False):
        method, quantizer, bits = keys  # type: ignore[misc]
        baseline = table[(table["method"] == method) & (table["quantizer"] == BASELINE) & (table["bits"] == bits)]
        row: dict[str, Any] = {"method": method, "quantizer": quantizer, "bits": bits, "n": len(group)}
        for metric in metrics:
            own, others = (part.dropna(subset=[metric]).astype({metric: float}) for part in (group, baseline))
            row[f"{metric}_mean"] = own[metric].mean()
            row[f"{metric}_std"] = own[metric].std()
            row |= _against(others, own, quantizer, metric, paired)
        rows.append(row)
    for metric in metrics:
        adjusted = holm([row[f"{metric}_p_value"] for row in rows])
        for row, p in zip(rows, adjusted, strict=True):
            row[f"{metric}_p_holm"] = p
    return pd.DataFrame(rows)


def _against(baseline: pd.DataFrame, group: pd.DataFrame, quantizer: str, metric: str, paired: bool) -> dict[str, Any]:
    names = ("difference", "improvement_percent", "p_value", "low", "high", "effect_size")
    empty: dict[str, Any] = dict.fromkeys(names)
    if quantizer == BASELINE:
        found = {**empty, "note": "baseline"}
    elif group.empty:
        found = {**empty, "note": "no value"}
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
            "low": None if result.interval is None else result.interval[0],
            "high": None if result.interval is None else result.interval[1],
            "effect_size": result.effect_size,
            "note": result.note,
        }
    return {f"{metric}_{name}": value for name, value in found.items()}


def over_seeds(cells: list[Cell], layout: Layout, name: str, keys: list[str]) -> pd.DataFrame:
    """Mean and standard deviation over seeds of every column of the cells' files of this name, for each key."""
    frames = []
    for cell in cells:
        frame = pd.read_csv(layout.metrics(cell) / name)
        frame.insert(0, "bits", cell.bits)
        frame.insert(0, "quantizer", cell.quantizer)
        frame.insert(0, "method", cell.method)
        frames.append(frame)
    spread = pd.concat(frames).groupby([*KEYS, *keys], sort=False).agg(["mean", "std"])
    spread.columns = [f"{column}_{statistic}" for column, statistic in spread.columns]
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
        "informativeness": params["informativeness"] if params["informativeness"]["of"] else "not measured",
        "selection": params["training"]["selection"],
        "test": kind,
        "significance": params["statistics"]["significance"],
        "methods": {name: params["methods"][name] for name in used},
        "quantizers": {q: params["quantizers"][q] for q in dict.fromkeys(sum(used.values(), []))},
    }
