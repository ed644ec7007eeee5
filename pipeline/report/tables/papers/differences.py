"""Table that compares the papers' protocols with the study's."""

from pipeline.report.published import protocol_facts
from pipeline.report.source import Source
from pipeline.report.tables.model import Column, Table, Value
from pipeline.report.tables.protocol import setting


def differences(source: Source) -> Table:
    """One row per published table and point of its protocol; none if no published dataset is named."""
    columns = [Column(name, numeric=False) for name in ("table", "point", "paper", "ours", "verdict")]
    dataset = source.published["dataset"]
    tables = [table for table in source.published["tables"] if dataset in protocol_facts.datasets(table)]
    rows = [
        [
            Value(table),
            Value(fact.name),
            *(Value(setting(side)) for side in (fact.paper, fact.ours)),
            Value(fact.verdict),
        ]
        for table in tables
        for fact in protocol_facts.compared(table, dataset, source)
    ]
    remarks = [remark for table in tables for remark in protocol_facts.remarks(table)]
    caption = [
        "Points as about.json names them. What a paper does not say is not stated, and then nothing is compared.",
        *dict.fromkeys(remarks),
    ]
    return Table("differences", "Protocols beside each other", caption, columns, rows)
