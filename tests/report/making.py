"""Made-up aggregate folders for the tables: tuning, timing, missing cells, and a study with the papers' own numbers."""

import json
import statistics
from pathlib import Path
from typing import Any

import pandas

from pipeline.report.published import protocol_facts
from pipeline.report.published.records import Record, of_table
from pipeline.report.source import read
from pipeline.report.tables import Table, build
from tests.report.test_tables import build_tables

PUBLISHED = ["wr-table1", "wr-table2", "wr-table3", "hswd-table4", "hswd-table5", "hswd-table6"]
BACKBONE = {
    "backbone": {"name": "cnn", "weights": "none", "input_size": 8, "frozen": False},
    "head": {"hidden": [], "dropout": 0.0, "normalize": "none"},
}


def beside(dataset: str | None = "cifar10", *tables: str) -> dict[str, Any]:
    """What about.json says of the published tables that a study is set beside."""
    return {"published": {"dataset": dataset, "tables": list(tables or PUBLISHED)}}


def tables_of(folder: Path) -> dict[str, Table]:
    return {table.name: table for table in build(read(folder))}


def shown(table: Table) -> list[list[str]]:
    return [[value.text for value in row] for row in table.rows]


def put(folder: Path, name: str, rows: list[dict[str, Any]]) -> None:
    pandas.DataFrame(rows).to_csv(folder / f"{name}.csv", index=False)


def edit_about(folder: Path, **changes: Any) -> None:
    content = json.loads((folder / "about.json").read_text()) | changes
    (folder / "about.json").write_text(json.dumps(content))


def network(table: str) -> dict[str, Any]:
    """The key ``backbone`` of a study with the network of a published table."""
    facts = protocol_facts.protocols()["tables"][table]["facts"]
    return BACKBONE | {"backbone": BACKBONE["backbone"] | {"name": facts.get("backbone.name", "alexnet")}}


def republish(folder: Path, table: str, dataset: str, here: str) -> Path:
    """A study whose numbers are those of a published table, so that ours and theirs must come out alike."""
    printed = of_table(table, dataset)
    build_tables(folder, dataset=here, **beside(dataset, table), **network(table))
    name = {"mine": "informativeness_database"}.get(printed[0].metric, printed[0].metric)
    rows = [_row(record, name, printed) for record in printed]
    if name == "informativeness_database":
        put(folder, "informativeness", rows)
    put(folder, "results", [row | {f"map_{part}": row.get(f"map_{part}") for part in MAP} for row in rows])
    return folder


MAP = ("mean", "std", "improvement_percent", "difference", "p_value", "note")


def _row(record: Record, name: str, printed: list[Record]) -> dict[str, Any]:
    base = next(r for r in printed if r.key == (record.method, "original", record.bits, record.metric))
    return {
        "method": record.method, "quantizer": record.quantizer, "bits": record.bits, "n": 5,
        f"{name}_mean": record.text, f"{name}_std": 0.01, f"{name}_p_value": 0.01 if record.star else None,
        f"{name}_difference": float(record.text) - float(base.text),
        f"{name}_note": "baseline" if record.quantizer == "original" else "",
    }  # fmt: skip


def tuned(folder: Path, settings: int = 3, failed: tuple[str, int] = ("wr", 1)) -> None:
    """Give a study a tuning: each quantizer's third setting is the best and chosen, one setting failed."""
    rows = [
        {
            "method": method, "quantizer": quantizer, "bits": 16, "trial": trial, "setting": f"weight={trial + 1}e-1",
            "n": 0 if (quantizer, trial) == failed else 2,
            "validation_map_mean": None if (quantizer, trial) == failed else 0.7 + 0.01 * trial + 1e-9,
            "validation_map_std": None if (quantizer, trial) == failed else 0.004,
            "chosen": "yes" if trial == settings - 1 else "no",
        }
        for method in ("dsdh", "csq") for quantizer in ("original", "wr") for trial in range(settings)
    ]  # fmt: skip
    put(folder, "tuning", rows)
    own: dict[str, list[float]] = {"learning_rate": [0.001], "own_weight": [0.1, 1.0, 10.0]}
    candidates = {"wr": {"weight": [0.1, 0.2, 0.3]}, "original": own}
    edit_about(folder, tune={"seeds": [100, 101], "settings": settings, "candidates": candidates})


SECONDS = {("dsdh", "original"): 2.0, ("dsdh", "wr"): 2.2, ("csq", "original"): 4.0, ("csq", "wr"): 4.1}


def timed(folder: Path, sizes: tuple[int, ...] = (64, 128), bits: tuple[int, ...] = (16,)) -> None:
    """Give a study its seconds by batch size; ``csq`` has no ``wr`` at the largest."""
    rows = [
        {
            "method": method, "quantizer": quantizer, "bits": length, "batch_size": size, "epochs": 3,
            "seconds_median": seconds + 1 / size, "seconds_std": 0.02,
            "overhead_percent": None if quantizer == "original" else 5.0,
        }
        for (method, quantizer), seconds in SECONDS.items() for length in bits for size in sizes
        if (method, quantizer, size) != ("csq", "wr", max(sizes))
    ]  # fmt: skip
    put(folder, "timing", rows)


def batched(folder: Path) -> None:
    """Give a study its validation mAP by batch size."""
    rows = [
        {
            "method": "dsdh", "quantizer": quantizer, "bits": 16, "batch_size": size, "n": 2,
            "validation_map_mean": 0.8 + gain + size / 10000, "validation_map_std": 0.01,
        }
        for quantizer, gain in (("original", 0.0), ("wr", 0.016)) for size in (64, 128)
    ]  # fmt: skip
    put(folder, "batch_size", rows)


def lose(folder: Path, method: str, quantizer: str, reason: str, seeds: int = 5) -> None:
    """Take the numbers of one (method, quantizer) away, as a study does whose cells failed."""
    results = pandas.read_csv(folder / "results.csv", dtype=str, keep_default_na=False)
    gone = (results["method"] == method) & (results["quantizer"] == quantizer)
    numbers = [name for name in results.columns if name not in ("method", "quantizer", "bits", "n")]
    results.loc[gone, numbers] = ""
    results.loc[gone, "n"] = "0"
    results.loc[gone, [name for name in numbers if name.endswith("_note")]] = reason
    results.to_csv(folder / "results.csv", index=False)
    cells = pandas.read_csv(folder / "cells.csv")
    cells[(cells["method"] != method) | (cells["quantizer"] != quantizer)].to_csv(folder / "cells.csv", index=False)
    known = json.loads((folder / "about.json").read_text()).get("missing", [])
    missing = [
        {"cell": f"{method}-{quantizer}-{bits}-{seed}", "method": method, "quantizer": quantizer, "bits": int(bits),
         "seed": seed, "reason": reason}
        for bits in dict.fromkeys(results["bits"]) for seed in range(seeds)
    ]  # fmt: skip
    edit_about(folder, missing=known + missing)


def mean_seconds(quantizer: str, size: int) -> float:
    return statistics.mean(seconds for (_, name), seconds in SECONDS.items() if name == quantizer) + 1 / size
