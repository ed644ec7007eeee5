"""Numbers in long form, published and ours alike: what the papers' layouts and the comparison are made from."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pandas

from pipeline.aggregation import BASELINE
from pipeline.report.source import number
from pipeline.runtime.errors import UserError

FOLDER = Path(__file__).parents[3] / "published"
NUMBERS = ("table", "dataset", "method", "quantizer", "bits", "metric", "value", "significance")
SECONDS = ("batch_size", "baseline_seconds", "wr_seconds")
PRINTED = ("table", "dataset", "method", "quantizer", "bits", "improvement_percent")
#: Table 2 of the WR paper: code length and dataset are in its caption.
SECONDS_OF = {"table": "wr-table2", "dataset": "cifar10", "bits": 48, "metric": "seconds"}


@dataclass(frozen=True)
class Record:
    """One number. ``text`` holds all its digits and is empty where there is none, for the ``reason``.

    Units: mAP and precision from 0 to 1, ``mine`` in nats, ``seconds`` an epoch. ``batch_size`` is 0 where the number
    isn't about one; ``star`` marks a significant improvement over the baseline, ``deviation`` is over the ``n`` seeds
    and ``note`` always visible. ``printed`` is the improvement in percent that a paper prints beside the number, and
    ``improvement`` that of the study's own comparison, which is over the seeds that both sides have.
    """

    table: str
    dataset: str
    method: str
    quantizer: str
    bits: int
    metric: str
    text: str
    star: bool = False
    deviation: str = ""
    n: str = ""
    reason: str = ""
    note: str = ""
    batch_size: int = 0
    printed: str = ""
    improvement: str = ""

    @property
    def value(self) -> float | None:
        return number(self.text)

    @property
    def key(self) -> tuple[str, str, int, str]:
        """What makes two numbers comparable, apart from the dataset."""
        return self.method, self.quantizer, self.bits, self.metric


@cache
def published() -> tuple[Record, ...]:
    """The papers' numbers in the order of ``results.csv``, then the seconds of the WR paper's Table 2.

    Raises:
        UserError: a file is missing, isn't CSV, lacks a column or holds a word where a number should be.
    """
    printed = {_place(row): row["improvement_percent"] for row in _rows("hswd-printed-improvements.csv", PRINTED)}
    numbers = [
        Record(
            table=row["table"],
            dataset=row["dataset"],
            method=row["method"],
            quantizer=row["quantizer"],
            bits=int(row["bits"]),
            metric=row["metric"],
            text=row["value"],
            star=bool(row["significance"]),
            printed=printed.get(_place(row), ""),
        )
        for row in _rows("results.csv", NUMBERS)
    ]
    return *numbers, *_seconds()


def retrieval() -> list[Record]:
    """The 410 numbers about codes, which are those that a study's own can stand beside."""
    return [record for record in published() if record.metric != SECONDS_OF["metric"]]


def of_table(table: str, dataset: str | None = None) -> list[Record]:
    """The numbers of one table, of one of its datasets if that is given."""
    return [record for record in published() if record.table == table and dataset in (None, record.dataset)]


def _seconds() -> Iterator[Record]:
    """An average over six methods each, which therefore have no name here."""
    for row in _rows("wr-table2-epoch-seconds.csv", SECONDS):
        for quantizer, column in ((BASELINE, "baseline_seconds"), ("wr", "wr_seconds")):
            place = {"method": "", "quantizer": quantizer, "batch_size": int(row["batch_size"])}
            yield Record(**SECONDS_OF, **place, text=row[column])  # type: ignore[arg-type]


def _place(row: dict[str, str]) -> tuple[str, ...]:
    return tuple(row[name] for name in ("table", "dataset", "method", "quantizer", "bits"))


def _rows(name: str, columns: tuple[str, ...]) -> list[dict[str, str]]:
    path = FOLDER / name
    try:
        table = pandas.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
    except (OSError, UnicodeDecodeError, pandas.errors.ParserError, pandas.errors.EmptyDataError) as error:
        raise UserError(f"{path} cannot be read as CSV ({error}). {RESTORE}") from None
    if lacking := [column for column in columns if column not in table.columns]:
        raise UserError(f"{path} lacks the column {', '.join(lacking)}. {RESTORE}")
    rows: list[dict[str, str]] = table.to_dict("records")
    for column in {"bits", "batch_size"} & set(columns):
        if wrong := [row[column] for row in rows if not row[column].isdigit()]:
            raise UserError(f"{path}: {column} must be a whole number, not {wrong[0]!r}. {RESTORE}")
    return rows


RESTORE = "It comes with the project: restore it with git checkout."
