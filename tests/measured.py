"""What only some studies measure, made up and put into a tables folder: tuning, timing, batch sizes, t-SNE, gallery."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas
from PIL import Image

Row = dict[str, Any]

WEIGHTS = (0.03, 0.1, 0.3, 0.9)
BATCHES = (16, 64, 256)
RANKS = 10


def cells(folder: Path) -> pandas.DataFrame:
    """The (method, quantizer, bits) of a folder's results."""
    return pandas.read_csv(folder / "results.csv")[["method", "quantizer", "bits"]]


def add_all(folder: Path, *, points: int = 60, tile: int = 8, queries: int = 4) -> Path:
    for add in (add_tuning, add_timing, add_batch_size):
        add(folder)
    add_tsne(folder, points=points)
    add_gallery(folder, tile=tile, queries=queries)
    return folder


def _write(folder: Path, name: str, rows: list[Row]) -> None:
    pandas.DataFrame(rows).to_csv(folder / f"{name}.csv", index=False)


def add_tuning(folder: Path, quantizers: tuple[str, ...] = ("wr", "hswd")) -> None:
    """Weights for ``quantizers``, with a peak that moves with the code length; learning rates for ``original``."""
    rows = []
    for cell in cells(folder).to_dict("records"):
        weighted = cell["quantizer"] in quantizers
        if not weighted and cell["quantizer"] != "original":
            continue
        tried = [{"weight": value} for value in WEIGHTS] if weighted else [{"learning_rate": v} for v in (0.001, 0.01)]
        trials = [
            cell | {"trial": place, "setting": " ".join(f"{k}={v}" for k, v in keys.items()), "n": 2}
            | {"weight": None, "learning_rate": None} | keys
            | {"validation_map_mean": _peak(cell, keys), "validation_map_std": 0.008 + 0.002 * place}
            for place, keys in enumerate(tried)
        ]  # fmt: skip
        best = max(row["validation_map_mean"] for row in trials)
        rows += [row | {"chosen": "yes" if row["validation_map_mean"] == best else "no"} for row in trials]
    _write(folder, "tuning", rows)


def _peak(cell: Row, keys: Row) -> float:
    level = 0.7 + 0.03 * math.log2(cell["bits"] / 8)
    if "learning_rate" in keys:
        return level + keys["learning_rate"]
    return level + 0.03 - 0.012 * abs(math.log(keys["weight"] / (0.05 * math.log2(cell["bits"]))))


def add_timing(folder: Path) -> None:
    rows = []
    for cell in cells(folder).to_dict("records"):
        for batch in BATCHES:
            cost = {"original": 0.0, "wr": 3 + batch / 25}.get(cell["quantizer"], 2.0)
            seconds = (2.4 + 55 / batch) * (1 + cost / 100)
            overhead = None if cell["quantizer"] == "original" else cost
            rows.append(cell | {"batch_size": batch, "epochs": 5, "seconds_median": seconds, "seconds_std": 0.05,
                                "overhead_percent": overhead})  # fmt: skip
    _write(folder, "timing", rows)


def add_batch_size(folder: Path) -> None:
    rows = [
        cell | {"batch_size": batch, "n": 2, "validation_map_std": 0.01,
                "validation_map_mean": 0.7 + 0.01 * math.log2(batch) * (cell["quantizer"] == "wr")}
        for cell in cells(folder).to_dict("records") for batch in BATCHES
    ]  # fmt: skip
    _write(folder, "batch_size", rows)


def add_tsne(folder: Path, *, points: int = 60, classes: int = 10, seed: int = 0) -> None:
    """Clusters that are tighter for codes than for images; ``class_names`` for ``about.json``."""
    draw = np.random.default_rng(3)
    label = np.arange(points) % classes
    middle = 40 * np.stack([np.cos(2 * np.pi * label / classes), np.sin(2 * np.pi * label / classes)], axis=1)

    def panel(of: str, key: Row, spread: float) -> pandas.DataFrame:
        x, y = (middle + draw.normal(0, spread, (points, 2))).T
        return pandas.DataFrame({"of": of} | key | {"seed": seed, "label": label, "x": x, "y": y})

    nobody = {"method": "", "quantizer": "", "bits": ""}
    panels = [panel("images", nobody, 25), panel("features", nobody, 12)]
    panels += [
        panel("codes", cell, 4 + 6 * (cell["quantizer"] == "original")) for cell in cells(folder).to_dict("records")
    ]
    pandas.concat(panels).to_csv(folder / "tsne.csv", index=False)
    about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
    about["class_names"] = [f"digit {place}" for place in range(classes)]
    (folder / "about.json").write_text(json.dumps(about), encoding="utf-8")


def add_gallery(folder: Path, *, tile: int = 8, queries: int = 4, seed: int = 0) -> None:
    """A grid of tiles a cell: a colour a class, with some noise."""
    draw = np.random.default_rng(5)
    colours = draw.integers(30, 226, (10, 3))
    (folder / "gallery").mkdir()
    rows = []
    for cell in cells(folder).to_dict("records"):
        key = cell | {"seed": seed}
        grid = np.zeros((queries, 1 + RANKS), int)
        for row in range(queries):
            own = int(draw.integers(10))
            grid[row] = np.where(draw.random(1 + RANKS) < 0.8, own, draw.integers(0, 10, 1 + RANKS))
            grid[row, 0] = own
            rows += [
                key | {"row": row, "query": 17 + row, "query_classes": f"digit {own}", "rank": rank,
                       "image": int(draw.integers(1497)), "classes": f"digit {grid[row, rank]}",
                       "distance": rank // 4, "relevant": "yes" if grid[row, rank] == own else "no"}
                for rank in range(1, 1 + RANKS)
            ]  # fmt: skip
        pixels = colours[grid].repeat(tile, axis=0).repeat(tile, axis=1)
        noisy = (pixels + draw.integers(-25, 26, pixels.shape)).astype(np.uint8)
        Image.fromarray(noisy).save(folder / "gallery" / f"{'-'.join(map(str, key.values()))}.png")
    _write(folder, "gallery", rows)
