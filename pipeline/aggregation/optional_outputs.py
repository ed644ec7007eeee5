"""Tables that only some studies ask for: tuning, timing, batch sizes, t-SNE, galleries."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.aggregation.comparison import BASELINE, KEYS
from pipeline.params import Params
from pipeline.runtime import stored
from pipeline.runtime.layout import Cell, Group, Layout, cells_of, groups_of
from pipeline.runtime.outputs import read_json
from pipeline.training.setting import spelled
from pipeline.training.tuning import settings

#: Whether a folder holds an output of the current params and code.
There = Callable[[Path], bool]


def folders(params: Params, layout: Layout) -> Iterator[Path]:
    """The metrics folders that the params ask for, apart from the grid cells' metrics and informativeness."""
    timing = params["timing"]
    for method, size in product(timing["methods"], timing["batch_sizes"]):
        yield layout.timing(method, size)
    for group, size in batch_sizes(params):
        for seed in params["batch_size"]["seeds"]:
            yield layout.batch_size(group, size, seed)
    for seed in params["visualize"]["seeds"]:
        yield layout.visualized_inputs(seed)
    for cell in shown(params):
        yield layout.visualized(cell)


def informativeness(params: Params, layout: Layout) -> list[Path]:
    """The folders with the mutual information of cells and parts that the params ask for."""
    section = params["informativeness"]
    measured = [cell for cell in cells_of(params["grid"]) if cell.bits in section["bits"]]
    return [layout.informativeness(cell, part) for cell in measured for part in section["parts"]]


def batch_sizes(params: Params) -> list[tuple[Group, int]]:
    """The (group, batch size) pairs whose validation mAP the params ask for."""
    section = params["batch_size"]
    return [
        (Group(method, quantizer, bits), size)
        for method, quantizer, bits, size in product(
            section["methods"], section["quantizers"], section["bits"], section["values"]
        )
    ]


def shown(params: Params) -> list[Cell]:
    """The cells to visualize by t-SNE and galleries."""
    shown = params["visualize"]
    return [Cell(*names) for names in product(shown["methods"], shown["quantizers"], shown["bits"], shown["seeds"])]


def budget(params: Params) -> dict[str, Any] | None:
    """The tuning's seeds, number of settings per quantizer, and candidates; None if nothing was tuned."""
    if params["tune"] is None:
        return None
    candidates = {quantizer: params["candidates"][quantizer] for quantizer in params["grid"]["quantizers"]}
    return {
        "seeds": params["tune"]["seeds"],
        "settings": len(settings(next(iter(candidates.values())))),
        "candidates": candidates,
    }


def missing(params: Params, layout: Layout, why_not: Callable[[Path], str]) -> list[dict[str, Any]]:
    """The outputs besides the cells' metrics that the params ask for but that are missing or outdated.

    Args:
        params: the study's params.
        layout: the study's paths.
        why_not: ``provenance.Present.why_not``.

    Returns:
        records like those of missing cells; method, quantizer, bits and seed are empty.
    """
    wanted = [*folders(params, layout), *informativeness(params, layout)]
    empty = dict.fromkeys(("method", "quantizer", "bits", "seed"), "")
    reasons = {folder.name: why_not(folder) for folder in wanted}
    return [{"cell": name, **empty, "reason": reason} for name, reason in reasons.items() if reason]


def write(params: Params, layout: Layout, target: Path, there: There) -> None:
    """Write ``tuning.csv``, ``timing.csv``, ``batch_size.csv``, ``tsne.csv``, ``gallery.csv`` and ``gallery/*.png``.

    A table is written only if the study asks for it and it has rows.
    """
    tables = {
        "tuning.csv": tuning_table(params, layout, there),
        "timing.csv": timing_table(params, layout, there),
        "batch_size.csv": batch_size_table(params, layout, there),
        "tsne.csv": tsne_table(params, layout, there),
        "gallery.csv": gallery_table(params, layout, target / "gallery", there),
    }
    for name, table in tables.items():
        if not table.empty:
            table.to_csv(target / name, index=False)


def tuning_table(params: Params, layout: Layout, there: There) -> pd.DataFrame:
    """One row per setting that was tried: mean and standard deviation over tuning seeds, and whether it was chosen.

    If the loss was not finite for some seed, mean and standard deviation are empty and ``note`` gives the reason.
    """
    if params["tune"] is None:
        return pd.DataFrame()
    rows = []
    for group in groups_of(params["grid"]):
        folder = layout.tuning(group)
        if not there(folder) or group.method in params["grid"]["training_free"]:
            continue
        curve, choice = stored.table(folder / "curve.csv"), read_json(folder / "choice.json")["setting"]
        for trial, setting in enumerate(settings(params["candidates"][group.quantizer])):
            found = curve[curve["trial"] == trial]
            whole = found["validation_map"].notna().all()
            row = {**asdict(group), "trial": trial, "setting": spelled(setting), "n": len(found), **setting}
            row["validation_map_mean"] = found["validation_map"].mean() if whole else None
            row["validation_map_std"] = found["validation_map"].std() if whole else None
            row["chosen"] = "yes" if setting == choice else "no"
            row["note"] = "" if whole else found["note"].dropna().iloc[0]
            rows.append(row)
    return pd.DataFrame(rows)


def timing_table(params: Params, layout: Layout, there: There) -> pd.DataFrame:
    """One row per (method, quantizer, batch size): seconds per epoch, and the overhead over the baseline's median."""
    section, rows = params["timing"], []
    for method, size in product(section["methods"], section["batch_sizes"]):
        folder = layout.timing(method, size)
        if not there(folder):
            continue
        found = (
            stored.table(folder / "timing.csv")
            .groupby("quantizer", sort=False)["seconds"]
            .agg(["median", "std", "count"])
        )
        baseline = found["median"].get(BASELINE)
        for quantizer, of in found.iterrows():
            more = None if baseline is None or quantizer == BASELINE else 100 * (of["median"] / baseline - 1)
            rows.append(
                {
                    **asdict(Group(method, str(quantizer), section["bits"])),
                    "batch_size": size,
                    "epochs": int(of["count"]),
                    "seconds_median": of["median"],
                    "seconds_std": of["std"],
                    "overhead_percent": more,
                }
            )
    return pd.DataFrame(rows)


def batch_size_table(params: Params, layout: Layout, there: There) -> pd.DataFrame:
    """One row per (method, quantizer, bits, batch size): validation mAP over seeds."""
    rows = []
    for group, size in batch_sizes(params):
        found = [layout.batch_size(group, size, seed) for seed in params["batch_size"]["seeds"]]
        records = [read_json(folder / "batch_size.json") for folder in found if there(folder)]
        if records:
            values = pd.Series([record["validation_map"] for record in records], dtype=float)
            of = {"n": values.count(), "validation_map_mean": values.mean(), "validation_map_std": values.std()}
            note = "; ".join(dict.fromkeys(record["note"] for record in records if record["note"]))
            rows.append({**asdict(group), "batch_size": size, **of, "validation_map_note": note})
    return pd.DataFrame(rows)


def tsne_table(params: Params, layout: Layout, there: There) -> pd.DataFrame:
    """One row per point: the t-SNE maps of images and features of each seed, then of the visualized cells' codes."""
    keys = [
        ({**dict.fromkeys(KEYS), "seed": seed}, layout.visualized_inputs(seed)) for seed in params["visualize"]["seeds"]
    ]
    keys += [(asdict(cell), layout.visualized(cell)) for cell in shown(params)]
    return _gathered([(key, folder / "tsne.csv") for key, folder in keys if there(folder)])


def gallery_table(params: Params, layout: Layout, images: Path, there: There) -> pd.DataFrame:
    """One row per retrieved image of the visualized cells' queries.

    Copies each cell's gallery image to ``<cell>.png`` in ``images``.
    """
    cells = [cell for cell in shown(params) if there(layout.visualized(cell))]
    for cell in cells:
        images.mkdir(exist_ok=True)
        shutil.copyfile(layout.visualized(cell) / "gallery.png", images / f"{cell.name}.png")
    return _gathered([(asdict(cell), layout.visualized(cell) / "gallery.csv") for cell in cells])


def _gathered(files: list[tuple[dict[str, Any], Path]]) -> pd.DataFrame:
    """The rows of all files, with each file's key columns first."""
    frames = []
    for key, file in files:
        rows = stored.table(file)
        own = pd.DataFrame([key] * len(rows), index=rows.index)
        frames.append(pd.concat([own.astype({"bits": "Int64"}), rows], axis=1))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
