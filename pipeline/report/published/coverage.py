"""Counts the published numbers that have a counterpart in any study of the workspace."""

from collections import Counter
from pathlib import Path

from pipeline.report.published.counterparts import Pair, pairs
from pipeline.report.published.records import Record, retrieval
from pipeline.report.source import read
from pipeline.report.tables.formats import plain
from pipeline.report.tables.model import Column, Table, Value

Place = tuple[str, str]


def coverage(root: Path) -> str:
    """Count the published numbers that have a counterpart in ``results/*/tables`` below ``root``.

    Returns:
        a plain-text table with one row per (published table, dataset, study). If no study has a counterpart for a
        table and dataset, one row says so.

    Raises:
        UserError: a study's tables are missing or invalid.
    """
    found = {study: pairs(read(study)) for study in sorted(root.glob("results/*/tables"))}
    covered: dict[Record, bool] = {}
    for pair in (pair for several in found.values() for pair in several if pair.difference is not None):
        covered[pair.published] = covered.get(pair.published, False) or pair.lower
    total = retrieval()
    title = f"{len(covered)} of {len(total)} published numbers have a counterpart"
    columns = [
        *(Column(name, numeric=False) for name in ("table", "dataset")),
        Column("published"), Column("counterparts"), Column("ours lower"), Column("study", numeric=False),
    ]  # fmt: skip
    places = Counter((record.table, record.dataset) for record in total)
    rows = [row for place, size in places.items() for row in _rows(place, size, found)]
    return plain(Table("coverage", title, [_verdict(covered), _RULE, _missing(found)], columns, rows), title)


_RULE = (
    "A counterpart is of the same dataset, method, quantizer, bits and metric, in a study whose params name the table; "
    "a number that several studies have counts once."
)


def _rows(place: Place, size: int, found: dict[Path, list[Pair]]) -> list[list[Value]]:
    """One row per study with counterparts, or one row that says that no study has any."""
    rows = []
    for study, several in found.items():
        paired = [p for p in several if p.difference is not None and (p.published.table, p.published.dataset) == place]
        if paired:
            rows.append(_row(place, size, len(paired), str(sum(pair.lower for pair in paired)), study.parent.name))
    return rows or [_row(place, size, 0, "", "none yet")]


def _row(place: Place, size: int, count: int, lower: str, study: str) -> list[Value]:
    return [*map(Value, place), Value(str(size)), Value(str(count)), Value(lower), Value(study)]


def _verdict(covered: dict[Record, bool]) -> str:
    lower = sum(covered.values())
    return (
        f"Ours is lower in {lower} of {len(covered)}, in at least one study." if covered else "Nothing to compare yet."
    )


def _missing(found: dict[Path, list[Pair]]) -> str:
    """A sentence that names the studies without a counterpart; empty if all have one."""
    idle = [path.parent.name for path, several in found.items() if not any(p.difference is not None for p in several)]
    return f"Studies without a counterpart: {', '.join(idle)}." if idle else ""
