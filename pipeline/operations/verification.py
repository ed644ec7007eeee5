"""Check that the numbers in the tables follow from the stored files.

The checks go backwards through the pipeline. The report's tables must follow from the aggregate stage's tables, those
from the cells' metrics, and the metrics of retrieval and balance from the stored codes. The codes' images and labels
are compared with the dataset and with a split that is drawn again. The results of training
(weights, codes, validation mAP, histories, tuning curves), MINE, times, t-SNE maps and galleries are not recomputed.
"""

import csv
import json
import math
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from pipeline import protocols, report
from pipeline.aggregation.study import present, write
from pipeline.codes import pack_labels
from pipeline.evaluation.cell import evaluate_cell
from pipeline.params import Params
from pipeline.preparation import arrays, splits
from pipeline.runtime import provenance, stored
from pipeline.runtime.errors import UserError, with_type
from pipeline.runtime.layout import Cell, Layout

#: Draws the split of a seed.
Draw = Callable[[int], splits.Split]
#: Relative and absolute tolerance, since versions of NumPy or pandas may sum in a different order.
TOLERANCE = 1e-9


def verify(params: Params, root: Path = Path()) -> str:
    """Check every cell, the tables and the report of a study.

    Args:
        params: content of params.yaml.
        root: the folder with the results.

    Returns:
        a summary of one line.

    Raises:
        UserError: some value doesn't follow from the files, or a file is missing; one line for each.
    """
    layout = Layout(params["study"], root)
    there, missing = present(params, layout)
    problems = [f"{record['cell']}: no metrics ({record['reason']})" for record in missing]
    if not layout.data.exists():
        raise UserError(f"{layout.data} is missing; run `dvc pull` or `dvc repro`")
    data = arrays.load(layout.data)
    problems += _told("data", _unless_intact(data.check))
    # Cells of a seed share its split, and reading the lists of a split takes seconds.
    drawn = cache(lambda seed: protocols.draw(params["split"], data.labels, data.ids, seed))
    with TemporaryDirectory() as folder:
        for cell in there:
            problems += _told(cell.name, _cell(params, cell, data, drawn, layout, Path(folder)))
        problems += _told("tables", _tables(params, layout, Path(folder))) if there else []
    if problems:
        raise UserError("\n".join(problems))
    return f"{params['study']}: {len(there)} cells re-evaluated from their codes; tables and report follow from them"


def _told(what: str, problems: Iterator[str]) -> list[str]:
    """A line for each problem, and one for a file that can't be read."""
    lines = []
    try:
        for problem in problems:
            lines.append(f"{what}: {problem}")
    except (OSError, ValueError, KeyError, EOFError) as error:
        lines.append(f"{what}: a file is missing or broken ({with_type(error)}); run `dvc pull` or `dvc repro`")
    return lines


def _unless_intact(check: Callable[..., None], *arguments: Any) -> Iterator[str]:
    try:
        check(*arguments)
    except UserError as error:
        yield str(error)


def _cell(params: Params, cell: Cell, data: arrays.Prepared, drawn: Draw, layout: Layout, aside: Path) -> Iterator[str]:
    """Contradictions between a cell's split, codes and metrics."""
    codes, trained = layout.codes(cell), layout.train(cell)
    for folder in (layout.split(cell.seed), codes, trained):
        if not folder.exists():
            yield f"{folder} is missing; run `dvc pull` or `dvc repro`"
            return
    split = splits.load(layout.split(cell.seed))
    yield from _split(cell.seed, split, drawn)
    for folder in (layout.tuning(cell.group), trained, codes, layout.metrics(cell)):
        record = provenance.read(folder)
        for name in record.files if record else ():
            yield from _unless_intact(stored.as_recorded, folder / name)
    for part in ("query", "database"):
        indices = stored.array(codes / f"{part}_indices.npy", "int64", 1)
        if not np.array_equal(indices, getattr(split, part)):
            yield f"its {part} codes aren't of the {part} images of the split"
        elif not np.array_equal(
            stored.array(codes / f"{part}_labels.npy", "uint8", 2), pack_labels(data.labels[indices])
        ):
            yield f"the labels beside its {part} codes aren't the dataset's"
    target = aside / cell.name
    target.mkdir()
    evaluate_cell(params["evaluation"], cell, trained, codes, target)
    yield from _differing(layout.metrics(cell), target)


def _split(seed: int, split: splits.Split, drawn: Draw) -> Iterator[str]:
    """Whether a seed's split differs from the one that the protocol draws, or why it can't be drawn again."""
    try:
        again = drawn(seed)
    except UserError as error:  # such as lists that aren't on this machine
        yield f"the split of seed {seed} can't be drawn again ({error})"
        return
    if again.digest() != split.digest():
        yield f"the split of seed {seed} isn't the one that the protocol draws"


def _tables(params: Params, layout: Layout, aside: Path) -> Iterator[str]:
    """Differences of the tables and the report from those made again from the present files."""
    tables, page = aside / "tables", aside / "report"
    tables.mkdir()
    write(params, layout, tables)
    yield from _differing(layout.tables, tables)
    page.mkdir()
    shown = layout.report / "index.html"
    made = re.search(r'data-commit="([^"]*)"', shown.read_text(encoding="utf-8")) if shown.exists() else None
    report.write(layout.tables, page, made[1] if made else "")
    yield from (f"in the report, {what}" for what in _differing(layout.report, page))


def _differing(found: Path, expected: Path) -> Iterator[str]:
    """Files that differ by more than rounding. Images need only exist: their bytes depend on library versions."""
    for file in sorted(path for path in expected.rglob("*") if path.is_file()):
        name = file.relative_to(expected)
        other = found / name
        if not other.exists():
            yield f"{name} is missing"
        elif file.suffix not in (".png", ".svg"):
            where = _difference(_values(other), _values(file))
            if where:
                yield f"{name}: {where}"


def _values(file: Path) -> list[tuple[str, str]]:
    """The (place, value) pairs of a text file: the fields of a CSV, the leaves of JSON, or else the lines."""
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".csv":
        return [(f"row {at}, {name}", str(value)) for at, row in enumerate(csv.DictReader(text.splitlines()), 1)
                for name, value in row.items()]  # fmt: skip
    if file.suffix == ".json":
        return list(_leaves(json.loads(text)))
    text = re.sub(r"<svg.*?</svg>", "", text, flags=re.DOTALL)
    return [(f"line {at}", line) for at, line in enumerate(text.splitlines(), 1)]


def _leaves(content: Any, place: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(content, dict | list):
        for key, inner in content.items() if isinstance(content, dict) else enumerate(content):
            yield from _leaves(inner, f"{place}.{key}" if place else str(key))
    else:
        yield place, str(content)


def _difference(found: list[tuple[str, str]], expected: list[tuple[str, str]]) -> str:
    """A text about the first difference; empty if there is none."""
    for (place, value), (other_place, other) in zip(found, expected, strict=False):
        if place != other_place or not _same(value, other):
            return f"{place} is {value[:80]!r}, but {other[:80]!r} follows from the files"
    return "" if len(found) == len(expected) else f"{len(found)} values, but {len(expected)} follow from the files"


def _same(value: str, other: str) -> bool:
    if value == other:
        return True
    try:
        return math.isclose(float(value), float(other), rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    except ValueError:
        return False
