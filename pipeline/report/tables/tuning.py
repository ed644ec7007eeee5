"""Tables of the settings that tuning chose and of all settings that it tried."""

from dataclasses import replace

from pipeline.aggregation import KEYS
from pipeline.report.rows import Row, records
from pipeline.report.source import Source, number
from pipeline.report.tables.captions import split_caption, tuning_caption
from pipeline.report.tables.model import Column, Table, Value, missing
from pipeline.report.tables.values import deviation, exact, key_columns, keys, whole

MEAN, SPREAD = "validation_map_mean", "validation_map_std"
#: Columns of tuning.csv that are not values of settings.
NOT_SETTINGS = (*KEYS, "trial", "setting", "n", MEAN, SPREAD, "chosen", "note")


def tuning(source: Source) -> Table:
    """One row per (method, quantizer, bits): the chosen setting, and the best, second and worst validation mAP."""
    columns = [
        *key_columns(),
        Column("chosen setting", numeric=False),
        Column("at an end", numeric=False, hint="chosen values that are the least or the most that was tried"),
        Column("validation mAP", hint="of the chosen setting, mean ± standard deviation over the tuning's seeds"),
        Column("best", hint="validation mAP of the best setting"),
        Column("second", hint="validation mAP of the next best"),
        Column("worst", hint="validation mAP of the worst"),
        Column("n", hint="seeds in the chosen setting's mean"),
        Column("settings", hint="tried, of which the chosen is one"),
        Column("failed", hint="settings that ended without a number"),
    ]
    caption = [
        "The setting of each quantizer with the best mean mAP of validation images, which rank the training images.",
        "The chosen value is the best of several and so optimistic; its level is not that of the results table.",
        "Where the choice is at an end of what was tried, a value beyond it might be better.",
        *split_caption(source),
        *tuning_caption(source),
    ]
    return Table("tuning", "Tuning", caption, columns, [_chosen(trials) for trials in _grouped(source)])


def tuning_curve(source: Source) -> Table:
    """One row per setting that was tried."""
    columns = [
        *key_columns(),
        Column("trial"),
        Column("setting", numeric=False),
        Column("validation mAP", hint="mean ± standard deviation over the tuning's seeds"),
        Column("n", hint="seeds in the mean"),
        Column("chosen", numeric=False),
    ]
    rows = [
        [*keys(row), whole(row, "trial"), Value(row["setting"]), _mean(row), whole(row, "n"), Value(row["chosen"])]
        for row in records(source.tuning)
    ]
    caption = [
        "Every setting that tuning tried, in the order of trials.",
        *split_caption(source),
        *tuning_caption(source),
    ]
    return Table("tuning-curve", "Every setting tried", caption, columns, rows)


def _grouped(source: Source) -> list[list[Row]]:
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in records(source.tuning):
        groups.setdefault(tuple(row[key] for key in KEYS), []).append(row)
    return list(groups.values())


def _chosen(trials: list[Row]) -> list[Value]:
    """A row of the table from all trials of one (method, quantizer, bits)."""
    known = sorted((row for row in trials if number(row[MEAN]) is not None), key=_level, reverse=True)
    failed = len(trials) - len(known)
    counts = [Value(str(count), str(count), name) for name, count in (("settings", len(trials)), ("failed", failed))]
    chosen = next((row for row in trials if row["chosen"] == "yes"), None)
    if chosen is None:
        reason = "no setting was chosen"
        own = [Value("none"), Value(""), missing(MEAN, reason)]
        n = missing("n", reason, shown=False)
    else:
        own, n = [Value(chosen["setting"]), Value(_ends(chosen, trials)), _mean(chosen)], whole(chosen, "n")
    ranked = {"best": known[:1], "second": known[1:2], "worst": known[-1:]}
    return [*keys(trials[0]), *own, *(_ranked(rows, name) for name, rows in ranked.items()), n, *counts]


def _ends(chosen: Row, trials: list[Row]) -> str:
    """The names of chosen values at an end of the tried ones, such as ``weight (most)``; of at least three values."""
    ends = []
    for name in (name for name in chosen if name not in NOT_SETTINGS):
        tried = sorted({value for row in trials if (value := number(row[name])) is not None})
        own = number(chosen[name])
        if own is not None and len(tried) >= 3 and own in (tried[0], tried[-1]):
            ends.append(f"{name} ({'least' if own == tried[0] else 'most'})")
    return ", ".join(ends)


def _ranked(rows: list[Row], name: str) -> Value:
    if not rows:
        return missing(name, "no such setting", shown=False)
    return Value(f"{_level(rows[0]):.4f}", rows[0][MEAN], name)


def _level(row: Row) -> float:
    return float(row[MEAN])


def _mean(row: Row) -> Value:
    if number(row[MEAN]) is None:
        return missing(MEAN, "no value")
    return replace(exact(f"{_level(row):.4f}", row, MEAN), spread=deviation(row, SPREAD, 4))
