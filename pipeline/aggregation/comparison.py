"""Means over seeds per (method, quantizer, bits), and tests against the baseline quantizer."""

from dataclasses import asdict
from typing import Any

import pandas as pd

from pipeline.runtime.layout import Group
from pipeline.statistics import compare, holm

#: The quantizer that the other quantizers of the same method and code length are compared with.
BASELINE = "original"
KEYS = ["method", "quantizer", "bits"]
#: Metrics of the codes that ``evaluate`` computes besides the retrieval metrics, in table order.
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
#: How the names of the other retrieval metrics begin, such as ``precision@100``.
AT = ("precision@", "recall@", "ndcg@")


def result_table(
    table: pd.DataFrame, metrics: list[str], *, paired: bool, groups: dict[Group, str] | None = None
) -> pd.DataFrame:
    """Mean and sample standard deviation over seeds, and each quantizer's test against ``original``.

    A paired test and its difference use the seeds that both quantizers have. ``<metric>_note`` says if these are not
    all seeds, or why no test is possible. A cell without a value of a metric is left out of that metric (for example,
    bit correlation is undefined if all bits are dead). ``<metric>_p_holm`` is adjusted for all tests of the metric in
    the table.

    Args:
        table: one row per cell, with the columns ``KEYS``, ``seed`` and ``metrics``.
        metrics: the columns to average and test.
        paired: whether to use the paired t-test; otherwise Welch's.
        groups: the rows of the result, each with the reason why cells of it are missing, or an empty string. Default:
            the groups of ``table``.

    Returns:
        one row per group: ``KEYS``, ``n`` cells, and for each metric its ``_mean``, ``_std``, ``_difference``,
        ``_improvement_percent``, ``_p_value``, ``_low``, ``_high``, ``_effect_size``, ``_note`` and ``_p_holm``.
    """
    if groups is None:
        groups = dict.fromkeys((Group(*keys) for keys in table[KEYS].itertuples(index=False)), "")
    rows = []
    for group, why in groups.items():
        own_cells, baseline = (_of(table, group.method, q, group.bits) for q in (group.quantizer, BASELINE))
        row: dict[str, Any] = {**asdict(group), "n": len(own_cells)}
        absent = "is missing" if groups.get(Group(group.method, BASELINE, group.bits)) else "is not in the grid"
        without = absent if baseline.empty else "has no value"
        for metric in metrics:
            own, others = (part.dropna(subset=[metric]).astype({metric: float}) for part in (own_cells, baseline))
            row[f"{metric}_mean"] = own[metric].mean()
            row[f"{metric}_std"] = own[metric].std()
            found = _against(others, own, group.quantizer, metric, paired)
            if own.empty and why:
                found["note"] = f"missing: {why}"
            elif others.empty and not own.empty:
                found["note"] = f"{BASELINE} {without}"
            row |= {f"{metric}_{name}": value for name, value in found.items()}
        rows.append(row)
    for metric in metrics:
        adjusted = holm([row[f"{metric}_p_value"] for row in rows])
        for row, p in zip(rows, adjusted, strict=True):
            row[f"{metric}_p_holm"] = p
    return pd.DataFrame(rows)


def _of(table: pd.DataFrame, method: str, quantizer: str, bits: int) -> pd.DataFrame:
    return table[(table["method"] == method) & (table["quantizer"] == quantizer) & (table["bits"] == bits)]


def _against(baseline: pd.DataFrame, group: pd.DataFrame, quantizer: str, metric: str, paired: bool) -> dict[str, Any]:
    names = ("difference", "improvement_percent", "p_value", "low", "high", "effect_size", "note")
    empty: dict[str, Any] = dict.fromkeys(names)
    if group.empty:
        return {**empty, "note": "no value"}
    if quantizer == BASELINE:
        return {**empty, "note": "baseline"}
    if baseline.empty:
        return empty
    both = baseline[["seed", metric]].merge(group[["seed", metric]], on="seed", suffixes=("_a", "_b"))
    if paired and both.empty:
        return {**empty, "note": "no common seed"}
    a, b = (both[f"{metric}_a"], both[f"{metric}_b"]) if paired else (baseline[metric], group[metric])
    result = compare(a.tolist(), b.tolist(), paired=paired)
    fewer = f"over {len(both)} common seeds" if paired and len(both) < max(len(baseline), len(group)) else ""
    return {
        "difference": result.mean_difference,
        "improvement_percent": result.relative_improvement,
        "p_value": result.p_value,
        "low": None if result.interval is None else result.interval[0],
        "high": None if result.interval is None else result.interval[1],
        "effect_size": result.effect_size,
        "note": result.note or fewer,
    }
