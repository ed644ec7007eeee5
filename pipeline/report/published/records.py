"""Published numbers and ours in one long format, the input of the papers' layouts and of the comparison."""

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
#: Fixed fields of the WR paper's Table 2, whose caption gives the code length and the dataset.
SECONDS_OF = {"table": "wr-table2", "dataset": "cifar10", "bits": 48, "metric": "seconds"}


@dataclass(frozen=True)
class Record:
    """One published number, or one of ours.

    Attributes:
        table: the published table; empty for our numbers.
        dataset: the dataset's name.
        method: the method; empty for an average over methods.
        quantizer: the quantizer.
        bits: the code length.
        metric: mAP and precision are from 0 to 1, ``mine`` is in nats, ``seconds`` is per epoch.
        text: the number with all its digits; empty if there is none.
        star: whether the number is a significant improvement over the baseline.
        deviation: the standard deviation over the ``n`` seeds.
        n: the number of seeds.
        reason: why there is no number.
        note: a remark that is always visible.
        batch_size: 0 if the number does not belong to a batch size.
        printed: the improvement in percent that a paper prints next to the number.
        improvement: the improvement in percent from the study's own comparison, over the seeds that both sides have.
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
        """The fields besides the dataset that are equal for two comparable numbers."""
        return self.method, self.quantizer, self.bits, self.metric


@cache
def published() -> tuple[Record, ...]:
    """The papers' numbers in the order of ``results.csv``, then the seconds of the WR paper's Table 2.

    Raises:
        UserError: a file is missing, is not CSV, lacks a column or has text instead of a whole number.
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


def improvement_over(record: Record, baseline: Record | None) -> float | None:
    """A number's improvement over the baseline's, in percent; None without both, or if the baseline isn't above 0."""
    if record.value is None or baseline is None or baseline.value is None or baseline.value <= 0:
        return None
    if record.improvement:
        return float(record.improvement)
    return 100 * (record.value - baseline.value) / baseline.value


def retrieval() -> list[Record]:
    """The 410 published numbers that a study's can be compared with: all but the seconds."""
    return [record for record in published() if record.metric != SECONDS_OF["metric"]]


def of_table(table: str, dataset: str | None = None) -> list[Record]:
    """The published numbers of a table, or only those of one of its datasets."""
    return [record for record in published() if record.table == table and dataset in (None, record.dataset)]


def _seconds() -> Iterator[Record]:
    """The seconds of Table 2; each is an average over six methods, so ``method`` is empty."""
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
