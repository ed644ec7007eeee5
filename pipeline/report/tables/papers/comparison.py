"""Table of the published numbers that the study is compared with, and ours."""

from dataclasses import replace

from pipeline.aggregation import BASELINE
from pipeline.report.published import protocol_facts
from pipeline.report.published.counterparts import Pair, pairs
from pipeline.report.published.records import Record, retrieval
from pipeline.report.source import Source
from pipeline.report.tables.captions import protocol_caption
from pipeline.report.tables.model import Column, Table, Value, missing
from pipeline.report.tables.papers.layout import deviation
from pipeline.report.tables.values import signed


def beside(source: Source) -> Table:
    """One row per published number: this number, ours, their difference, and both improvements over the baseline."""
    columns = [
        Column("method", numeric=False),
        Column("quantizer", numeric=False),
        Column("bits", hint="code length"),
        Column("table", numeric=False),
        Column("metric", numeric=False),
        Column("published"),
        Column("ours", hint="mean ± standard deviation over seeds"),
        Column("n", hint="seeds in our mean"),
        Column("difference", hint="ours minus published"),
        Column("ours is", numeric=False),
        Column("paper %", hint=f"published improvement over {BASELINE}", plain="published_improvement_percent"),
        Column("ours %", hint=f"our improvement over {BASELINE}", plain="our_improvement_percent"),
    ]
    found = pairs(source)
    return Table(
        "comparison",
        "Comparison with the published numbers",
        _caption(found, source),
        columns,
        [_row(p) for p in found],
    )


def _caption(found: list[Pair], source: Source) -> list[str]:
    paired = [pair for pair in found if pair.counterpart]
    networks = {pair.network for pair in paired} - {""}
    lower = sum(pair.lower for pair in paired)
    # a number that two of the published tables print counts as two of the 410
    counts = (
        f"Of the {len(retrieval())} numbers that the two papers print, this study is compared with {len(found)}; "
        f"{len(paired)} of them have a counterpart: same dataset, method, quantizer, bits and metric."
    )
    if found and not found[0].same_dataset:
        here, there = source.about["dataset"], found[0].published.dataset
        verdict = (
            f"The study's dataset is {here}, not {there}: values aren't compared, improvements stand side by side only."
        )
    elif networks:
        verdict = (
            f"Ours are of another network ({', '.join(sorted(networks))}), so this isn't a reproduction: values aren't "
            "compared, improvements stand side by side only."
        )
    elif paired:
        verdict = f"Ours is lower in {lower} of these {len(paired)}."
    else:
        verdict = "None of these can be compared yet."
    return [counts, verdict, *_differences(source), "Table 'differences' has the values.", *protocol_caption(source)]


def _differences(source: Source) -> list[str]:
    """Points in which the study's protocol differs from the tables'; tables with the same points share a sentence."""
    dataset = source.published["dataset"]
    alike: dict[str, list[str]] = {}
    for table in source.published["tables"]:
        if dataset in protocol_facts.datasets(table):
            points = protocol_facts.compared(table, dataset, source)
            differ = [fact.name for fact in points if fact.verdict == protocol_facts.DIFFERS]
            alike.setdefault(", ".join(differ), []).append(protocol_facts.citation(table))
    return [
        f"Differences from {' and '.join(tables)}: {points or 'nothing that the paper states'}."
        for points, tables in alike.items()
    ]


def _row(pair: Pair) -> list[Value]:
    record = pair.published
    bits = str(record.bits)
    keys = [Value(record.method), Value(record.quantizer), Value(bits, bits, "bits")]
    published = Value(f"{float(record.text):.4f}", record.text, "published", star=record.star)
    return [
        *keys,
        Value(record.table),
        Value(record.metric),
        published,
        _ours(pair.ours, pair),
        _n(pair.ours, pair),
        _difference(pair),
        _verdict(pair),
        *(_improvement(value, name, pair) for value, name in zip(pair.improvements, ("published", "our"), strict=True)),
    ]


def _ours(record: Record | None, pair: Pair) -> Value:
    if record is None or record.value is None:
        return missing("ours", pair.reason)
    spread = deviation(record, "ours_std", 4)
    return replace(Value(f"{record.value:.4f}", record.text, "ours", spread), star=record.star)


def _n(record: Record | None, pair: Pair) -> Value:
    return missing("n", pair.reason, shown=False) if record is None else Value(record.n, record.n, "n")


def _difference(pair: Pair) -> Value:
    if pair.difference is None:
        without = pair.ours is None or pair.ours.value is None
        return missing("difference", pair.reason, shown=not without)  # else our number's column shows the reason
    return Value(signed(pair.difference, 4), repr(pair.difference), "difference")


def _verdict(pair: Pair) -> Value:
    if pair.difference is None:
        return Value("not compared")
    return Value("lower" if pair.lower else "higher" if pair.difference > 0 else "equal")


def _improvement(value: float | None, name: str, pair: Pair) -> Value:
    column = f"{name}_improvement_percent"
    if value is None:
        reason = "baseline" if pair.published.quantizer == BASELINE else f"no {BASELINE}, or not above 0"
        return missing(column, reason, shown=False)
    return Value(signed(value, 2), repr(value), column)
