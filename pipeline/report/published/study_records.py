"""A study's numbers in the long format of the published ones."""

from collections.abc import Iterator

import pandas

from pipeline.aggregation import BASELINE
from pipeline.report.published.records import Record
from pipeline.report.rows import Row, records, significant, why_missing
from pipeline.report.source import Source, measured, number

#: MINE columns by preference. The paper does not say which images it uses; the database is what queries search.
PARTS = ("informativeness_database", "informativeness_query")


def ours(source: Source, metric: str) -> list[Record]:
    """The study's means of one metric of the papers: ``map``, ``precision@1000``, ``mine`` or ``seconds``.

    Returns:
        one record per (method, quantizer, bits), for seconds also per batch size; none if the study did not measure
        the metric.
    """
    if metric == "seconds":
        return list(_seconds(source))
    table, column = _where(source, metric)
    if table is None:
        return []
    return [_record(row, metric, column, source) for row in records(table)]


def _where(source: Source, metric: str) -> tuple[pandas.DataFrame | None, str]:
    """The table that holds a metric (None if none does), and the metric's name in it."""
    if metric == "mine":
        names = [] if source.informativeness is None else measured(source.informativeness)
        part = next((name for name in PARTS if name in names), None)
        return (source.informativeness if part else None), part or ""
    return (source.results if metric in measured(source.results) else None), metric


def _record(row: Row, metric: str, name: str, source: Source) -> Record:
    text = row[f"{name}_mean"] if number(row[f"{name}_mean"]) is not None else ""
    tested = bool(text) and significant(row, f"{name}_p_value", source)
    fewer = f"{row['n']} of {len(source.seeds)} seeds" if text and int(float(row["n"])) < len(source.seeds) else ""
    lower = f"lower than {BASELINE}, p < {source.about['significance']}"
    better = (number(row.get(f"{name}_difference", "")) or 0.0) > 0
    return Record(
        **_key(row, source),  # type: ignore[arg-type]
        metric=metric,
        text=text,
        star=tested and better,
        deviation=row.get(f"{name}_std", "") if text else "",
        n=row["n"],
        reason="" if text else why_missing(row, name, source),
        note="; ".join([lower] * (tested and not better) + [fewer] * bool(fewer)),
        improvement=row.get(f"{name}_improvement_percent", "") if text else "",
    )


def _seconds(source: Source) -> Iterator[Record]:
    for row in records(source.timing):
        text = row["seconds_median"] if number(row["seconds_median"]) is not None else ""
        size = int(number(row["batch_size"]) or 0)
        reason = "" if text else "not timed"
        yield Record(**_key(row, source), metric="seconds", text=text, reason=reason, batch_size=size)  # type: ignore[arg-type]


def _key(row: Row, source: Source) -> dict[str, str | int]:
    names = {name: row[name] for name in ("method", "quantizer")}
    return {"table": "", "dataset": str(source.about["dataset"]), **names, "bits": int(float(row["bits"]))}
