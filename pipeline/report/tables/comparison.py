"""Columns that the metric tables share: each quantizer's test against the baseline."""

from dataclasses import replace

from pipeline.aggregation import BASELINE
from pipeline.report.rows import Row, significant
from pipeline.report.source import Source, number
from pipeline.report.tables.model import Column, Value, missing
from pipeline.report.tables.values import exact, signed
from pipeline.statistics import FEWEST


def star_caption(source: Source) -> list[str]:
    level, test = source.about["significance"], source.about["test"]
    return [f"* marks p < {level} against quantizer {BASELINE} ({test}); none below {FEWEST} seeds."]


def comparison_columns(source: Source) -> list[Column]:
    return [
        Column(f"Δ {BASELINE}", hint=f"difference to {BASELINE}, same method and bits", plain="difference"),
        Column("95% interval", hint="of the difference, from the test's t distribution", plain="low"),
        Column("improv. %", hint=f"relative improvement over {BASELINE}, percent", plain="improvement_percent"),
        Column(
            "effect", hint="the difference in standard deviations (paired: of the differences)", plain="effect_size"
        ),
        Column("p-value", hint=source.about["test"]),
        Column("p (Holm)", hint="adjusted for all tests of the metric in this table"),
    ]


def comparison(row: Row, metric: str, source: Source) -> list[Value]:
    """The values of ``comparison_columns``. If there is no test, the reason is visible in the p-value's cell only."""
    note = row.get(f"{metric}_note", "") or "no value"

    def change(suffix: str, digits: int, reason: str = note) -> Value:
        column = f"{metric}_{suffix}"
        value = number(row.get(column, ""))
        return missing(column, reason, shown=False) if value is None else exact(signed(value, digits), row, column)

    def chance(suffix: str, *, explained: bool) -> Value:
        column = f"{metric}_{suffix}"
        p = number(row.get(column, ""))
        if p is None:
            return missing(column, note, shown=explained)
        remark = row.get(f"{metric}_note", "") if explained else ""
        return replace(exact(f"{p:#.3g}", row, column), star=significant(row, column, source), note=remark)

    low, high, difference = change("low", 4), change("high", 4), change("difference", 4)
    interval = (
        replace(low, text=f"{low.text} to {high.text}", more=(replace(high, column="high"),)) if low.data else low
    )
    return [
        difference,
        interval,
        change("improvement_percent", 2, f"{BASELINE} is not above 0" if difference.data else note),
        change("effect_size", 1, note if number(row.get(f"{metric}_p_value", "")) is None else "fewer than 3 seeds"),
        chance("p_value", explained=True),
        chance("p_holm", explained=False),
    ]


def test_caption(source: Source) -> list[str]:
    test, level = source.about["test"], source.about["significance"]
    compared = (
        f"Δ, its 95% interval, improvement, effect and p compare with quantizer {BASELINE} of the same method and bits"
    )
    return [f"{compared}; p: {test}; * marks p < {level}, no star and no effect below {FEWEST} seeds."]
