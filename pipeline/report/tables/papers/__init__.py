"""The two papers' tables with our numbers and with the published ones, and a comparison of both."""

from collections.abc import Callable
from functools import partial

from pipeline.report.published import protocol_facts
from pipeline.report.published.records import Record, of_table
from pipeline.report.published.study_records import ours
from pipeline.report.source import Source
from pipeline.report.tables.captions import epoch_caption, protocol_caption, run_caption, tuning_caption
from pipeline.report.tables.model import Table
from pipeline.report.tables.papers import hswd, wr
from pipeline.report.tables.papers.comparison import beside
from pipeline.report.tables.papers.differences import differences
from pipeline.report.tables.papers.layout import Grid
from pipeline.runtime.errors import UserError

#: The layout of each published table, used for our numbers and the published ones.
LAYOUTS: dict[str, Callable[[list[Record]], Grid]] = {
    "wr-table1": wr.accuracy,
    "wr-table2": wr.seconds,
    "wr-table3": wr.informativeness,
    "hswd-table4": partial(hswd.losses, bits=(128,)),
    "hswd-table5": partial(hswd.losses, bits=(16, 32, 64)),
    "hswd-table6": partial(hswd.losses, bits=(16, 32, 64)),
}


def build(source: Source) -> list[Table]:
    """The comparison number by number, each table that the study names (ours, then published), and the differences.

    Raises:
        UserError: about.json names an unknown published table or dataset.
    """
    wanted, dataset = source.published["tables"], source.published["dataset"]
    if unknown := [name for name in wanted if name not in LAYOUTS]:
        raise UserError(_unknown(source, "table", unknown[0], list(LAYOUTS)))
    known = list(dict.fromkeys(name for table in LAYOUTS for name in protocol_facts.datasets(table)))
    if dataset is not None and dataset not in known:
        raise UserError(_unknown(source, "dataset", dataset, known))
    if not wanted:
        return []
    layouts = [table for name in wanted for table in (_ours(name, source), _published(name, dataset))]
    return [beside(source), *layouts, differences(source)]


def _unknown(source: Source, what: str, name: str, known: list[str]) -> str:
    path = source.folder / "about.json"
    return f"{path}: published: there is no {what} {name!r}, only {', '.join(known)}. Correct it in params.yaml."


def _ours(name: str, source: Source) -> Table:
    order = list(dict.fromkeys(record.method for record in of_table(name)))
    metric = of_table(name)[0].metric
    records = sorted(ours(source, metric), key=lambda r: _rank(r.method, order))
    grid = LAYOUTS[name](records)
    level = source.about["significance"]
    starred = any(value.star for row in grid.rows for value in row)
    star = [f"* marks an improvement with p < {level} ({source.about['test']})."] * starred
    caption = [f"Our numbers as {protocol_facts.citation(name)} lays them out: {protocol_facts.what(name)}."]
    notes = [*caption, *grid.caption, *star, *_protocol(metric, source)]
    return Table(name, f"{protocol_facts.citation(name)}: ours", notes, grid.columns, grid.rows)


def _protocol(metric: str, source: Source) -> list[str]:
    """How our numbers were obtained; the evaluated epoch does not apply to seconds, nor ties to mutual information."""
    if metric == "seconds":
        return run_caption(source)
    if metric == "mine":
        return [MINE, *run_caption(source), *epoch_caption(source), *tuning_caption(source)]
    return protocol_caption(source)


MINE = (
    "A lower bound on held-out pairs of images and codes, of the database where it was measured, else of the queries."
)


def _published(name: str, dataset: str | None) -> Table:
    grid = LAYOUTS[name](of_table(name, dataset))
    starred = any(value.star for row in grid.rows for value in row)
    star = ["* as printed: a significant improvement, p < 0.05."] * starred
    caption = [f"The numbers that {protocol_facts.citation(name)} prints: {protocol_facts.what(name)}."]
    return Table(f"{name}-published", f"{protocol_facts.citation(name)}: published", [*caption, *grid.caption, *star],
                 grid.columns, grid.rows)  # fmt: skip


def _rank(method: str, order: list[str]) -> int:
    """Sort key: methods in the paper's order, then those that the paper does not have."""
    return order.index(method) if method in order else len(order)
