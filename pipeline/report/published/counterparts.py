"""Pairs each published number with ours and compares them."""

from dataclasses import dataclass

from pipeline.aggregation import BASELINE
from pipeline.report.published import protocol_facts
from pipeline.report.published.records import Record, improvement_over, of_table
from pipeline.report.published.study_records import ours
from pipeline.report.source import Source


@dataclass(frozen=True)
class Pair:
    """A published number, and our number of the same method, quantizer, bits and metric if the study has one.

    ``reason`` says why there is no number of ours, or that it is of another dataset or network and so not comparable.
    ``network`` names the study's network if it isn't the paper's.
    """

    published: Record
    ours: Record | None
    same_dataset: bool
    reason: str
    network: str
    improvements: tuple[float | None, float | None]
    """Over the baseline in percent: the published one, and ours."""

    @property
    def counterpart(self) -> bool:
        """Whether ours has a value on the same dataset, of any network."""
        return self.same_dataset and self.ours is not None and self.ours.value is not None

    @property
    def difference(self) -> float | None:
        """Ours minus the published number; None if ours is missing or not comparable."""
        if self.reason or self.ours is None or self.ours.value is None or self.published.value is None:
            return None
        return self.ours.value - self.published.value

    @property
    def lower(self) -> bool:
        return self.difference is not None and self.difference < 0


def pairs(source: Source) -> list[Pair]:
    """A pair for every published number that the study is compared with, in the papers' order."""
    dataset = source.published["dataset"]
    if dataset is None:
        return []
    return [pair for table in source.published["tables"] for pair in _of(table, dataset, source)]


def _of(table: str, dataset: str, source: Source) -> list[Pair]:
    printed = [record for record in of_table(table, dataset) if record.batch_size == 0]
    if not printed:
        return []
    same = protocol_facts.dataset_here(table, dataset) == source.about["dataset"]
    network = protocol_facts.other_network(table, source)
    here = {record.key: record for metric in {record.metric for record in printed} for record in ours(source, metric)}
    there = {record.key: record for record in printed}
    return [
        Pair(
            record,
            own,
            same,
            _why_not(own, bool(here), same, record, source) or (f"of another network ({network})" if network else ""),
            network,
            (improvement(record, there), improvement(own, here)),
        )
        for record in printed
        for own in [here.get(record.key)]
    ]


def _why_not(own: Record | None, measured: bool, same: bool, record: Record, source: Source) -> str:
    if not measured:
        return f"{record.metric} was not measured"
    if own is None:
        return "not in the grid"
    if own.value is None:
        return own.reason
    return "" if same else f"{source.about['dataset']} is not {record.dataset}"


def improvement(record: Record | None, records: dict[tuple[str, str, int, str], Record]) -> float | None:
    """A number's improvement over the baseline's in ``records``, in percent; None if either is missing."""
    if record is None or record.quantizer == BASELINE:
        return None
    base = records.get((record.method, BASELINE, record.bits, record.metric))
    return improvement_over(record, base)
