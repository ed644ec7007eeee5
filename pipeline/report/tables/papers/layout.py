"""What the papers' layouts share: columns a dataset and code length, and a value for each record or its absence."""

from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.report.published.records import Record
from pipeline.report.tables.model import Column, Value, missing

#: Why a place in a layout is empty, where no record stands for it.
ABSENT = "no such number"


@dataclass(frozen=True)
class Grid:
    """A layout filled with numbers: the columns and rows of a table, and sentences that its numbers call for."""

    columns: list[Column]
    rows: list[list[Value]]
    caption: list[str]


@dataclass(frozen=True)
class Place:
    """A dataset and code length: where a layout has a column."""

    dataset: str
    bits: int

    @property
    def name(self) -> str:
        return f"{self.dataset}_{self.bits}_bits"


def chosen_bits(records: list[Record], paper: Iterable[int]) -> list[Record]:
    """The records of the paper's code lengths; all of them where a study has none of those."""
    lengths = set(paper)
    return [record for record in records if record.bits in lengths] or records


def places(records: list[Record]) -> list[Place]:
    """Columns: datasets in the records' order, code lengths ascending."""
    named = list(dict.fromkeys(record.dataset for record in records))
    found = {Place(record.dataset, record.bits) for record in records}
    return sorted(found, key=lambda place: (named.index(place.dataset), place.bits))


def columns(found: list[Place]) -> list[Column]:
    """A column a place; the dataset is named where there are several."""
    several = len({place.dataset for place in found}) > 1
    return [
        Column(f"{place.dataset}, {place.bits} bits" if several else f"{place.bits} bits", plain=place.name)
        for place in found
    ]


def methods(records: list[Record], variants: Iterable[str]) -> list[str]:
    """The methods that have a number with one of the variants to show."""
    wanted = set(variants)
    return list(dict.fromkeys(record.method for record in records if record.quantizer in wanted))


def at(records: list[Record], method: str, quantizer: str, place: Place) -> Record | None:
    """The record of a place; None where there is none."""
    wanted = (method, quantizer, place.dataset, place.bits)
    return next((r for r in records if (r.method, r.quantizer, r.dataset, r.bits) == wanted), None)


def deviation(record: Record, column: str, digits: int) -> Value | None:
    """The spread beside a number of ours; published numbers come without."""
    if not record.n:
        return None
    if not record.deviation:
        return missing(column, f"no standard deviation from n = {record.n}", shown=False)
    return Value(f"{float(record.deviation):.{digits}f}", record.deviation, column)


def absent(record: Record | None, column: str) -> Value:
    """What stands where there is no number."""
    return missing(column, ABSENT if record is None else record.reason or ABSENT)
