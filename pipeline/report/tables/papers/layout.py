"""Shared by the papers' layouts: one column per (dataset, bits), and the values of present and missing records."""

from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.report.published.records import Record
from pipeline.report.tables.model import Column, Value, missing

#: The reason shown if there is no record for a place in a layout.
ABSENT = "no such number"


@dataclass(frozen=True)
class Grid:
    """A layout filled with numbers: a table's columns and rows, and caption sentences about these numbers."""

    columns: list[Column]
    rows: list[list[Value]]
    caption: list[str]


@dataclass(frozen=True)
class Place:
    """A dataset and code length, which is one column of a layout."""

    dataset: str
    bits: int

    @property
    def name(self) -> str:
        return f"{self.dataset}_{self.bits}_bits"


def chosen_bits(records: list[Record], paper: Iterable[int]) -> list[Record]:
    """The records with the paper's code lengths; all records if none has one of these."""
    lengths = set(paper)
    return [record for record in records if record.bits in lengths] or records


def places(records: list[Record]) -> list[Place]:
    """The records' places: datasets in the records' order, code lengths ascending."""
    named = list(dict.fromkeys(record.dataset for record in records))
    found = {Place(record.dataset, record.bits) for record in records}
    return sorted(found, key=lambda place: (named.index(place.dataset), place.bits))


def columns(found: list[Place]) -> list[Column]:
    """One column per place; titles name the dataset if there are several."""
    several = len({place.dataset for place in found}) > 1
    return [
        Column(f"{place.dataset}, {place.bits} bits" if several else f"{place.bits} bits", plain=place.name)
        for place in found
    ]


def methods(records: list[Record], variants: Iterable[str]) -> list[str]:
    """The methods that have a record with one of the quantizers ``variants``."""
    wanted = set(variants)
    return list(dict.fromkeys(record.method for record in records if record.quantizer in wanted))


def at(records: list[Record], method: str, quantizer: str, place: Place) -> Record | None:
    """The record of a method and quantizer at a place; None if there is none."""
    wanted = (method, quantizer, place.dataset, place.bits)
    return next((r for r in records if (r.method, r.quantizer, r.dataset, r.bits) == wanted), None)


def deviation(record: Record, column: str, digits: int) -> Value | None:
    """The standard deviation of one of our numbers; None for a published number."""
    if not record.n:
        return None
    if not record.deviation:
        return missing(column, f"no standard deviation from n = {record.n}", shown=False)
    return Value(f"{float(record.deviation):.{digits}f}", record.deviation, column)


def absent(record: Record | None, column: str) -> Value:
    """The value shown for a missing number, with the reason."""
    return missing(column, ABSENT if record is None else record.reason or ABSENT)
