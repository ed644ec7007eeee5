"""Writes a study's tables from the outputs of its cells."""

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.aggregation import optional_outputs
from pipeline.aggregation.comparison import AT, BALANCE, KEYS, TIE_BOUNDS, result_table
from pipeline.params import Params
from pipeline.runtime import provenance, stored
from pipeline.runtime.errors import UserError
from pipeline.runtime.layout import Cell, Group, Layout, cells_of, groups_of
from pipeline.runtime.outputs import read_json, write_json


def aggregate(params: Params, layout: Layout, target: Path) -> None:
    """Delete results that the params no longer ask for (``drop_others``), then write the study's tables.

    Args:
        params: the study's params.
        layout: the study's paths.
        target: an existing folder for the tables.

    Raises:
        UserError: no cell has metrics.
    """
    drop_others(params, layout)
    write(params, layout, target)


def write(params: Params, layout: Layout, target: Path) -> None:
    """Write the study's tables.

    - ``cells.csv``: one row per cell.
    - ``results.csv``, ``results.json`` and ``balance.csv``: one row per (method, quantizer, bits) with tests against
      the baseline. ``informativeness.csv``: the same, if the study measures it.
    - ``history.csv``: mean and standard deviation over seeds for each epoch.
    - ``curves.csv``: the same for each rank and each Hamming radius.
    - ``map.json``: the mean mAPs, for ``dvc metrics show``.
    - ``about.json``: the protocol, and the cells without metrics with the reasons.
    - Optional tables: see ``optional_outputs.py``.

    Cells without metrics are left out of the means and listed in ``about.json``.

    Args:
        params: the study's params.
        layout: the study's paths.
        target: an existing folder for the tables.

    Raises:
        UserError: no cell has metrics.
    """
    there, missing = present(params, layout)
    if not there:
        raise UserError(f"{layout.all_metrics}: no cell has metrics ({missing[0]['reason']}); run `dvc repro`")
    now = provenance.Present(params, layout.folder)
    table = cell_table(there, params["informativeness"]["parts"], layout, now)
    tables = {
        **_compared(params, table, missing),
        "cells": table,
        "history": over_seeds(there, layout, "history.csv", ["epoch"]),
        "curves": over_seeds(there, layout, "curves.csv", ["by", "at"]),
    }
    for name, content in tables.items():
        content.to_csv(target / f"{name}.csv", index=False)
    results = tables["results"]
    write_json(target / "results.json", json.loads(results.to_json(orient="records", double_precision=15)))
    optional_outputs.write(params, layout, target, lambda folder: not now.why_not(folder))
    write_json(target / "map.json", headline(results))
    missing += optional_outputs.missing(params, layout, now.why_not)
    write_json(target / "about.json", {**about(params, layout), "missing": missing})


def _compared(params: Params, table: pd.DataFrame, missing: list[dict[str, Any]]) -> dict[str, pd.DataFrame]:
    """The tables with tests against the baseline, by name; ``informativeness`` only if the study measures it."""
    compared = {
        "results": ["map", *TIE_BOUNDS, *(name for name in table.columns if name.startswith(AT))],
        "balance": BALANCE,
        "informativeness": [f"informativeness_{part}" for part in params["informativeness"]["parts"]],
    }
    # The other tables have every code length of the grid.
    lengths = {"informativeness": params["informativeness"]["bits"]}
    groups = {group: _why(group, missing) for group in groups_of(params["grid"])}
    tables = {}
    for name, of in compared.items():
        bits = lengths.get(name, params["grid"]["bits"])
        rows, these = table[table["bits"].isin(bits)], {group: groups[group] for group in groups if group.bits in bits}
        if of and len(rows):
            tables[name] = result_table(rows, of, paired=params["statistics"]["paired"], groups=these)
    return tables


def drop_others(params: Params, layout: Layout) -> None:
    """Delete outputs in the metrics and tuning folders that the params don't ask for.

    The ``aggregate`` stage depends on both folders as a whole. Deleted outputs remain in DVC's cache: if a param is
    changed back, DVC restores them instead of running the stage again. Files that the pipeline didn't write are kept,
    with a warning.
    """
    cells, groups = cells_of(params["grid"]), groups_of(params["grid"])
    wanted = {layout.metrics(cell) for cell in cells} | {layout.tuning(group) for group in groups}
    wanted |= {*optional_outputs.folders(params, layout), *optional_outputs.informativeness(params, layout)}
    for folder in (layout.all_metrics, layout.all_tuning):
        for found in sorted(folder.iterdir()) if folder.exists() else []:
            if found not in wanted and provenance.made(found):
                shutil.rmtree(found)
            elif found not in wanted and not found.name.startswith("."):
                print(f"warning: {found}: not made by the pipeline, left as it is", file=sys.stderr)


def present(params: Params, layout: Layout) -> tuple[list[Cell], list[dict[str, Any]]]:
    """Split the grid's cells into those with metrics of the current params and code, and the missing ones.

    If a stage fails, metrics computed from its earlier outputs stay on disk. Such outdated metrics count as missing.

    Returns:
        the cells with metrics, and a record (cell, method, quantizer, bits, seed, ``reason``) for each missing cell.
    """
    now = provenance.Present(params, layout.folder)
    there, missing = [], []
    for cell in cells_of(params["grid"]):
        if reason := _why_not(cell, now, layout):
            missing.append({"cell": cell.name, **asdict(cell), "reason": reason})
        else:
            there.append(cell)
    return there, missing


def _why_not(cell: Cell, now: provenance.Present, layout: Layout) -> str:
    """Why a cell has no metrics of the current params and code; empty if it has.

    If the cell or its group has a recorded failure, that is the reason.
    """
    reason = now.why_not(layout.metrics(cell))
    failures = [layout.failure(cell), layout.failure(cell.group)] if reason else []
    told = [failed.read_text(encoding="utf-8").strip() for failed in failures if failed.exists()]
    return told[0] if told else reason


def outdated(params: Params, layout: Layout) -> str:
    """Why the report is outdated with respect to the current params, code and cells; empty if it is up to date."""
    if reason := provenance.Present(params, layout.folder).why_not(layout.report):
        return reason
    named = {record["cell"] for record in read_json(layout.tables / "about.json")["missing"]}
    unnamed = [record for record in present(params, layout)[1] if record["cell"] not in named]
    if not unnamed:
        return ""
    more = f" (and {len(unnamed) - 1} more cells)" if len(unnamed) > 1 else ""
    return f"{unnamed[0]['cell']}{more}: {unnamed[0]['reason']}"


def _why(group: Group, missing: list[dict[str, Any]]) -> str:
    """The distinct reasons of a group's missing cells; empty if none is missing."""
    own = [record["reason"] for record in missing if record["cell"].rpartition("-")[0] == group.name]
    return "; ".join(dict.fromkeys(own))


def cell_table(cells: list[Cell], parts: Sequence[str], layout: Layout, now: provenance.Present) -> pd.DataFrame:
    """One row per cell, in grid order, with all its metrics.

    ``informativeness_<part>`` and ``informativeness_<part>_over_restarts`` are the mean and standard deviation over
    restarts; they are empty if not measured.
    """
    rows = []
    for cell in cells:
        row = read_json(layout.metrics(cell) / "metrics.json")
        for part in parts:
            folder = layout.informativeness(cell, part)
            there = not now.why_not(folder)
            found = read_json(folder / "informativeness.json") if there else {"mean": None, "std": None}
            row |= {f"informativeness_{part}": found["mean"], f"informativeness_{part}_over_restarts": found["std"]}
        rows.append(row)
    return pd.DataFrame(rows)


def over_seeds(cells: list[Cell], layout: Layout, name: str, keys: list[str]) -> pd.DataFrame:
    """Mean and standard deviation over seeds of every column of the cells' files called ``name``.

    Args:
        cells: the cells to read.
        layout: the study's paths.
        name: a CSV file in each cell's metrics folder.
        keys: columns that identify a row of the file, such as ``["epoch"]``.

    Returns:
        one row per (method, quantizer, bits) and keys, with columns ``<column>_mean`` and ``<column>_std``.
    """
    frames = []
    for cell in cells:
        frame = stored.table(layout.metrics(cell) / name)
        frame.insert(0, "bits", cell.bits)
        frame.insert(0, "quantizer", cell.quantizer)
        frame.insert(0, "method", cell.method)
        frames.append(frame)
    spread = pd.concat(frames).groupby([*KEYS, *keys], sort=False).agg(["mean", "std"])
    spread.columns = [f"{column}_{statistic}" for column, statistic in spread.columns]
    return spread.reset_index()


def headline(results: pd.DataFrame) -> dict[str, float]:
    """Mean mAP over seeds by ``method-quantizer-bits``: the columns of `dvc metrics show` and `dvc exp show`."""
    return {
        f"{row['method']}-{row['quantizer']}-{row['bits']}": round(row["map_mean"], 6)
        for row in results.to_dict("records")
        if pd.notna(row["map_mean"])
    }


def about(params: Params, layout: Layout) -> dict[str, Any]:
    """The protocol behind the tables: the facts needed to compare the numbers with other results."""
    manifest = read_json(layout.data / "manifest.json")
    grid, seeds = params["grid"], params["grid"]["seeds"]
    split = read_json(layout.split(seeds[0]) / "split.json")
    kind = "paired two-sided t-test over seeds" if params["statistics"]["paired"] else "two-sided Welch t-test"
    return {
        "study": params["study"],
        "dataset": params["dataset"]["name"],
        "images": manifest["images"],
        "image_size": manifest["image_size"],
        "classes": len(manifest["classes"]),
        # With one label per image, no query has more relevant images; with several labels this bound does not hold.
        **({"largest_class": max(manifest["classes"].values())} if manifest["labels_per_image"] <= 1 else {}),
        "content_hash": manifest["content_hash"],
        "protocol": params["split"]["protocol"],
        "split": {part: split[part] for part in ("query", "database", "train", "validation")},
        # A protocol that draws another split for each seed has no such key.
        **({"split_fixed_by": split["fixed_by"]} if "fixed_by" in split else {}),
        "seeds": seeds,
        "backbone": params["backbone"],
        "head": params["head"],
        "training": params["training"],
        # Ranks of recall and NDCG are named where a study asks for them.
        **{
            name: value for name, value in params["evaluation"].items() if value or name not in ("recall_at", "ndcg_at")
        },
        "informativeness": params["informativeness"] if params["informativeness"]["parts"] else "not measured",
        "selection": params["training"]["selection"],
        "tune": optional_outputs.budget(params),
        "published": params["published"],
        "class_names": list(manifest["classes"]),
        "test": kind,
        "significance": params["statistics"]["significance"],
        "methods": {name: params["methods"][name] for name in [*grid["methods"], *grid["training_free"]]},
        "quantizers": {name: params["quantizers"][name] for name in grid["quantizers"]},
    }
