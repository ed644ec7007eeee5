"""Counts the published numbers that have a counterpart in any study of the workspace."""

from collections import Counter
from pathlib import Path

from pipeline.report.published.counterparts import Pair, pairs
from pipeline.report.published.records import retrieval
from pipeline.report.source import read
from pipeline.report.tables.formats import plain
from pipeline.report.tables.model import Column, Table, Value

Place = tuple[str, str]


def coverage(root: Path) -> str:
    """Count the published numbers that have a counterpart in ``results/*/tables`` or ``docs/results/*/tables``.

    Args:
        root: the project's root.

    Returns:
        a plain-text table with one row per (published table, dataset, study). If no study has a counterpart for a
        table and dataset, one row says so.

    Raises:
        UserError: a study's tables are missing or invalid.
    """
    found: dict[str, list[Pair]] = {}
    for tables in [*sorted(root.glob("docs/results/*/tables")), *sorted(root.glob("results/*/tables"))]:
        found[tables.parent.name] = pairs(read(tables))  # a study's own results replace committed ones
    every = [pair for several in found.values() for pair in several if pair.counterpart]
    same, other = ({pair.published for pair in every if bool(pair.network) == odd} for odd in (False, True))
    lower = {pair.published for pair in every if pair.lower}
    total = retrieval()
    title = f"{len(same | other)} of {len(total)} published numbers have a counterpart"
    columns = [
        *(Column(name, numeric=False) for name in ("table", "dataset")),
        Column("published"), Column("counterparts"), Column("ours lower"),
        *(Column(name, numeric=False) for name in ("study", "network")),
    ]  # fmt: skip
    places = Counter((record.table, record.dataset) for record in total)
    rows = [row for place, size in places.items() for row in _rows(place, size, found)]
    caption = [_verdict(len(same), len(other - same), len(lower)), _RULE, _missing(found)]
    return plain(Table("coverage", title, caption, columns, rows), title)


_RULE = (
    "A counterpart is of the same dataset, method, quantizer, bits and metric, in a study whose params name the table; "
    "a number that several studies have counts once. Values of another network are never subtracted from the paper's."
)


def _rows(place: Place, size: int, found: dict[str, list[Pair]]) -> list[list[Value]]:
    """One row per study with counterparts, or one row that says that no study has any."""
    rows = []
    for study, several in found.items():
        paired = [p for p in several if p.counterpart and (p.published.table, p.published.dataset) == place]
        if paired:
            network = paired[0].network
            lower = "not compared" if network else str(sum(pair.lower for pair in paired))
            rows.append(_row(place, size, len(paired), lower, study, network or "the paper's"))
    return rows or [_row(place, size, 0, "", "none yet", "")]


def _row(place: Place, size: int, count: int, lower: str, study: str, network: str) -> list[Value]:
    texts = (str(size), str(count), lower, study, network)
    return [*map(Value, place), *map(Value, texts)]


def _verdict(same: int, other: int, lower: int) -> str:
    if not same + other:
        return "Nothing to compare yet."
    said = f"{same} are of the same network, {other} of another network alone."
    return f"{said} Ours is lower in {lower} of the {same}, in at least one study." if same else said


def _missing(found: dict[str, list[Pair]]) -> str:
    """A sentence that names the studies without a counterpart; empty if all have one."""
    idle = [study for study, several in found.items() if not any(pair.counterpart for pair in several)]
    return f"Studies without a counterpart: {', '.join(idle)}." if idle else ""
