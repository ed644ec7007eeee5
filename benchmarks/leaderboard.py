"""The methods of a study by mAP, with precision, balance of bits, seconds of training and parameters, as Markdown.

    python -m benchmarks.leaderboard [--study cifar10-leaderboard]

Run it in the study's repository after `make sweep`. One row for each method, by the mAP of `original`; methods without
training come last. mAP is mean and standard deviation over seeds, for each quantizer. Precision, imbalance of bits (0
is balanced), parameters and seconds are those of `original`. Seconds are of the training of a cell, validation
included, on the machine that trained it, where as many cells are trained at a time as it has cores; so they are close
to processor time. The last two columns are what the WR paper and a survey (`published/survey-cifar10.csv`) print for
CIFAR-10 at this code length, by networks that are trained as a whole.
"""

import argparse
from statistics import mean

import pandas as pd

from pipeline import methods, params
from pipeline.params.schema import TRAINING_FREE
from pipeline.report.published.records import FOLDER
from pipeline.runtime.layout import Cell, Layout
from pipeline.training import times


def seconds(layout: Layout, cells: list[Cell]) -> float:
    """Mean seconds of training of cells; NaN where this machine trained none."""
    found = [known for cell in cells if (known := times.of(layout, cell))]
    return mean((one["ended"] - one["begun"]) / 1000 for one in found) if found else float("nan")


def labels(method: str) -> str:
    """What a method learns from."""
    if method in TRAINING_FREE:
        return "no training"
    return "labels" if methods.kind(method).supervision == "labels" else "no labels"


def published(method: str, bits: int) -> list[str]:
    """What the WR paper's Table 1 and the survey print for a method on CIFAR-10; empty where they don't have it."""
    paper, survey = (pd.read_csv(FOLDER / f"{name}.csv") for name in ("results", "survey-cifar10"))
    paper = paper[
        (paper["table"] == "wr-table1") & (paper["quantizer"] == "original") & (paper["dataset"] == "cifar10")
    ]
    found = [table[(table["method"] == method) & (table["bits"] == bits)] for table in (paper, survey)]
    return [
        f"{one[column].iloc[0]:.3f}" if len(one) else "" for one, column in zip(found, ("value", "map"), strict=True)
    ]


def rows(layout: Layout, bits: int) -> list[list[str]]:
    """The table's rows, the best method first."""
    tables = [pd.read_csv(layout.tables / f"{name}.csv") for name in ("results", "balance", "cells")]
    results, balance, cells = (table[table["bits"] == bits] for table in tables)
    precision = next(name for name in results.columns if name.startswith("precision@") and name.endswith("_mean"))
    best = results[results["quantizer"] == "original"].sort_values("map_mean", ascending=False)
    ordered = sorted(best["method"], key=lambda method: method in TRAINING_FREE)
    quantizers, found = list(dict.fromkeys(results["quantizer"])), []
    for method in ordered:
        own = results[results["method"] == method].set_index("quantizer")
        maps = [f"{own['map_mean'][q]:.4f} ± {own['map_std'][q]:.4f}" if q in own.index else "" for q in quantizers]
        of = balance[(balance["method"] == method) & (balance["quantizer"] == "original")].iloc[0]
        trained = cells[(cells["method"] == method) & (cells["quantizer"] == "original")]
        of_seeds = [Cell(method, "original", bits, int(seed)) for seed in trained["seed"]]
        found.append([
            method, labels(method), *maps, f"{own[precision]['original']:.4f}", f"{of['bit_imbalance_mean']:.3f}",
            f"{seconds(layout, of_seeds):.1f}", f"{int(trained['parameters'].iloc[0]):,}", *published(method, bits),
        ])  # fmt: skip
    heads = [
        "method",
        "learns from",
        *quantizers,
        precision.removesuffix("_mean"),
        "imbalance",
        "seconds",
        "parameters",
        "WR paper",
        "survey",
    ]
    return [heads, *found]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", default=None)
    parser.add_argument("--bits", type=int, default=None)
    given = parser.parse_args()
    content = params.read()
    table = rows(Layout(given.study or content["study"]), given.bits or content["grid"]["bits"][0])
    print("| " + " | ".join(table[0]) + " |\n| --- | --- |" + " ---: |" * (len(table[0]) - 2))
    for row in table[1:]:
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
