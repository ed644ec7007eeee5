"""One row a (method, quantizer, bits), with its test against the baseline."""

from dataclasses import asdict
from typing import Any

import pandas as pd

from pipeline.runtime.layout import Group
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


def result_table(
    table: pd.DataFrame, metrics: list[str], *, paired: bool, groups: dict[Group, str] | None = None
) -> pd.DataFrame:
    """Mean and sample standard deviation over seeds, and each quantizer's test against ``original``.

    A paired test compares the seeds that both have. Where no test is possible, ``<metric>_note`` says why. A cell
    that has no value of a metric (codes whose bits are all dead have no correlation) is left out of it.
    ``<metric>_p_holm`` is adjusted for all tests of the metric in the table.

    Args:
        groups: the rows, each with why cells of it are missing, or nothing; those of ``table`` unless given.
    """
    if groups is None:
        groups = dict.fromkeys((Group(*keys) for keys in table[KEYS].itertuples(index=False)), "")
    rows = []
    for group, why in groups.items():
        own_cells, baseline = (_of(table, group.method, q, group.bits) for q in (group.quantizer, BASELINE))
        row: dict[str, Any] = {**asdict(group), "n": len(own_cells)}
        for metric in metrics:
            own, others = (part.dropna(subset=[metric]).astype({metric: float}) for part in (own_cells, baseline))
            row[f"{metric}_mean"] = own[metric].mean()
            row[f"{metric}_std"] = own[metric].std()
            row |= _against(others, own, group.quantizer, metric, paired)
            if own.empty and why:
                row[f"{metric}_note"] = f"missing: {why}"
        rows.append(row)
    for metric in metrics:
        adjusted = holm([row[f"{metric}_p_value"] for row in rows])
        for row, p in zip(rows, adjusted, strict=True):
            row[f"{metric}_p_holm"] = p
    return pd.DataFrame(rows)


def _of(table: pd.DataFrame, method: str, quantizer: str, bits: int) -> pd.DataFrame:
    return table[(table["method"] == method) & (table["quantizer"] == quantizer) & (table["bits"] == bits)]


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
