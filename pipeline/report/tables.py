"""The report's tables, independent of the form they are shown in, and their Markdown and plain-text forms."""

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pandas

from pipeline.aggregation import BASELINE, TIE_BOUNDS
from pipeline.report.source import Source, measured, number

TEXTS = ("method", "quantizer", "selection", "device", "torch")
WHOLE = ("bits", "seed", "n", "selected_epoch", "epochs")
SELECTION = {
    "validation": "The evaluated epoch of each cell is the one with the best validation mAP.",
    "last": "The evaluated epoch of each cell is the last one; nothing was selected.",
    "test": "The evaluated epoch of each cell was chosen on the test images: the numbers are optimistic.",
}
TIES = {
    "expected": "Ties in Hamming distance: mAP is the exact expectation over all orders of tied images.",
    "stable": "Ties in Hamming distance: tied images stay in the order of the database.",
    "optimistic": "Ties in Hamming distance: of tied images, the relevant ones come first (optimistic).",
    "pessimistic": "Ties in Hamming distance: of tied images, the relevant ones come last (pessimistic).",
}

#: Metrics that count something: a mean of them has no use for four decimals.
COUNTS = ("dead_bits", "distinct_codes")
BALANCE_HINTS = {
    "bit_imbalance": "mean over bits of |mean of the bit|; 0 where each is +1 as often as -1",
    "bit_correlation": "mean over pairs of bits of |correlation|; bits that never change are left out",
    "dead_bits": "bits with one value in all codes",
    "code_entropy": "entropy of the distribution of codes, in bits",
    "distinct_codes": "different codes in the database",
    "collision_rate": "share of pairs of images that have the same code",
    "quantization_error": "mean of ||u| - 1| over raw outputs u",
}


@dataclass(frozen=True)
class Value:
    """One table cell.

    ``text`` is what is shown, ``data`` the full-precision text from the file (None in a text cell),
    ``column`` the file's column, ``spread`` the standard deviation beside a mean, ``reason`` why there is no
    number, ``note`` a remark that is always visible, ``star`` whether p is below the significance level.
    """

    text: str
    data: str | None = None
    column: str = ""
    spread: "Value | None" = None
    reason: str = ""
    note: str = ""
    star: bool = False


@dataclass(frozen=True)
class Column:
    """A heading; ``hint`` explains it in a few words, ``numeric`` columns are right-aligned."""

    title: str
    numeric: bool = True
    hint: str = ""


@dataclass(frozen=True)
class Table:
    """A table with its caption; ``name`` is the element's id on the page."""

    name: str
    title: str
    caption: list[str]
    columns: list[Column]
    rows: list[list[Value]]


def build(source: Source) -> list[Table]:
    """All tables of the report that have rows, in page order."""
    tables = [results(source), metrics(source), balance(source), informativeness(source)]
    tables += [cells(source), protocol(source)]
    return [table for table in tables if table.rows]


def results(source: Source) -> Table:
    """One row per (method, quantizer, bits): mAP, compared with the baseline."""
    bounded = set(TIE_BOUNDS) <= set(measured(source.results))
    columns = [
        Column("method", numeric=False),
        Column("quantizer", numeric=False),
        Column("bits", hint="code length"),
        Column(source.map_label, hint="mean ± standard deviation over seeds"),
        *([Column("tie bounds", hint="the same with relevant images last, and first, among tied ones")] * bounded),
        Column("n", hint="seeds in the mean"),
        *_comparison_columns(source),
    ]
    rows = [
        [
            *_keys(row),
            _mean(row, "map"),
            *([_bounds(row)] * bounded),
            _whole(row, "n"),
            *_comparison(row, "map", source),
        ]
        for row in _records(source.results)
    ]
    return Table("results", "Results", results_caption(source), columns, rows)


def metrics(source: Source) -> Table:
    """One row per (method, quantizer, bits) and further metric, each compared with the baseline."""
    columns = [
        Column("method", numeric=False),
        Column("quantizer", numeric=False),
        Column("bits", hint="code length"),
        Column("metric", numeric=False),
        Column("value", hint="mean ± standard deviation over seeds"),
        *_comparison_columns(source),
    ]
    rows = [
        [*_keys(row), Value(name), _mean(row, name), *_comparison(row, name, source)]
        for name in source.metrics
        for row in _records(source.results)
    ]
    caption = ["The other metrics, compared with the baseline as mAP is.", *_test_caption(source)]
    return Table("metrics", "Precision", caption, columns, rows)


def balance(source: Source) -> Table:
    """One row per (method, quantizer, bits): how balanced, independent and compact the database's codes are."""
    names = measured(source.balance)
    columns = [
        Column("method", numeric=False),
        Column("quantizer", numeric=False),
        Column("bits", hint="code length"),
        *(Column(name.replace("_", " "), hint=BALANCE_HINTS.get(name, "")) for name in names),
    ]
    rows = [[*_keys(row), *(_starred(row, name, source) for name in names)] for row in _records(source.balance)]
    caption = [
        "Codes of the database; mean ± standard deviation over seeds.",
        "Uniform codes have imbalance and correlation 0; codes that retrieve well follow the classes and can't.",
        *_star_caption(source),
    ]
    return Table("balance", "Code balance", caption, columns, rows)


def informativeness(source: Source) -> Table:
    """One row per (method, quantizer, bits) and part of the split; no rows where it wasn't measured."""
    columns = [
        Column("method", numeric=False),
        Column("quantizer", numeric=False),
        Column("bits", hint="code length"),
        Column("images", numeric=False, hint="part of the split"),
        Column("nats", hint="mean ± standard deviation over seeds"),
        *_comparison_columns(source),
    ]
    table = source.informativeness
    names = [] if table is None else measured(table)
    rows = [
        [*_keys(row), Value(name.removeprefix("informativeness_")), _mean(row, name), *_comparison(row, name, source)]
        for name in names
        for row in ([] if table is None else _records(table))
    ]
    caption = [
        "Mutual information of images and codes in nats, estimated by MINE (Belghazi et al. 2018).",
        "Each value is the Donsker-Varadhan lower bound on held-out pairs; a negative one is a loose bound.",
        *_test_caption(source),
    ]
    return Table("informativeness", "Informativeness", caption, columns, rows)


def cells(source: Source) -> Table:
    """One row per cell with every column of the file; what no cell differs in goes into the caption."""
    records = list(_records(source.cells))
    same = {name: text for name, text in (records[0] if len(records) > 1 else {}).items()
            if not _is_core(name, source) and all(record[name] == text for record in records)}  # fmt: skip
    names = [str(name) for name in source.cells.columns if name not in same]
    columns = [Column(_title(name, source), name not in TEXTS) for name in names]
    rows = [[_plain_value(row, name) for name in names] for row in records]
    caption = ["Every cell: one training run of one method, quantizer, code length and seed."]
    if same:
        shared = ", ".join(f"{_title(name, source)} {text or 'n/a'}" for name, text in same.items())
        caption.append(f"The same in all of them: {shared}.")
    return Table("cells", "Every cell", caption, columns, rows)


def protocol(source: Source) -> Table:
    """One row per setting in ``about.json``, nested ones with a dotted name."""
    columns = [Column("setting", numeric=False), Column("value", numeric=False)]
    rows = [[Value(name), Value(text)] for name, text in _flat(source.about)]
    return Table("protocol", "Protocol", ["Everything that was fixed for this study."], columns, rows)


def results_caption(source: Source) -> list[str]:
    """Sentences that say under which protocol the numbers of the results table were obtained."""
    about = source.about
    sizes = [f"{about[key]} {key}" for key in ("images", "classes") if key in about]
    dataset = f"Dataset {about['dataset']}" + (f" ({', '.join(sizes)})" if sizes else "")
    split = about.get("split")
    counts = ", ".join(f"{key} {value}" for key, value in split.items()) if isinstance(split, dict) else ""
    name = f"; protocol {about['protocol']}" if "protocol" in about else ""
    seeds = source.seeds
    return [
        dataset + name + (f" ({counts} images)" if counts else "") + ".",
        f"Mean ± standard deviation over n of {_seeds(seeds)}.",
        SELECTION.get(about["selection"], f"Selection of the evaluated epoch: {about['selection']}."),
        TIES.get(about["ties"], f"Ties in Hamming distance: {about['ties']}."),
        *_test_caption(source),
    ]


def _seeds(seeds: list[str]) -> str:
    return f"{len(seeds)} seed{'s' * (len(seeds) != 1)} ({', '.join(seeds)})"


def markdown(tables: list[Table], title: str) -> str:
    """The tables as one Markdown document."""
    return f"# {_escape(title)}\n\n" + "\n".join(_markdown_table(table) for table in tables)


def plain(table: Table, title: str) -> str:
    """One table for a terminal: aligned columns, then the caption."""
    heads = [column.title for column in table.columns]
    body = [[_line(value) for value in row] for row in table.rows]
    for place in range(len(heads)):
        if any(row[place].star for row in table.rows):  # numbers without a star leave room for it
            for texts, row in zip(body, table.rows, strict=True):
                texts[place] += " " * (not row[place].star)
    widths = [max(map(len, texts)) for texts in zip(heads, *body, strict=True)]
    sides = [f"{'>' if c.numeric else '<'}{w}" for c, w in zip(table.columns, widths, strict=True)]

    def line(texts: list[str]) -> str:
        return "  ".join(map(str.format, ["{:" + side + "}" for side in sides], texts)).rstrip()

    caption = textwrap.wrap(" ".join(table.caption), width=max(60, min(100, sum(widths))))
    rule = "  ".join("-" * width for width in widths)
    return "\n".join([title, "", line(heads), rule, *map(line, body), "", *caption]) + "\n"


def _records(table: pandas.DataFrame) -> Iterator[dict[str, str]]:
    yield from table.to_dict("records")


def _is_core(name: str, source: Source) -> bool:
    """Whether a column of the cells is always shown."""
    core = ("method", "quantizer", "bits", "seed", "map", "validation_map", "selected_epoch", "epochs")
    return name in core or name in source.metrics


def _title(name: str, source: Source) -> str:
    if name == "map":
        return source.map_label
    return name.replace("validation_map", "validation mAP").replace("_", " ")


def _keys(row: dict[str, str]) -> list[Value]:
    names = [Value(row[name], column=name) for name in ("method", "quantizer")]
    return [*names, _whole(row, "bits")]


def _whole(row: dict[str, str], name: str) -> Value:
    value = number(row[name])
    return Value("n/a" if value is None else f"{value:.0f}", row[name], name)


def _signed(value: float, digits: int) -> str:
    text = f"{value:+.{digits}f}"
    return text if re.search("[1-9a-z]", text) else text[1:]  # no sign for what rounds to zero


def _mean(row: dict[str, str], name: str) -> Value:
    """Mean with its spread, or n/a with the reason."""
    column = f"{name}_mean"
    mean, deviation = number(row[column]), row.get(f"{name}_std", "")
    if mean is None:
        reason = row.get(f"{name}_note", "") or "no value"
        return Value("n/a", "", column, reason=reason, note=reason)
    known = number(deviation)
    reason = "" if known is not None else f"no standard deviation from n = {row['n']}"
    digits = 1 if name in COUNTS else 4
    text = "n/a" if known is None else f"{known:.{digits}f}"
    spread = Value(text, deviation if known is not None else "", f"{name}_std", reason=reason)
    return Value(f"{mean:.{digits}f}", row[column], column, spread)


def _bounds(row: dict[str, str]) -> Value:
    """Both bounds in one cell, sorted by the lower one."""
    low, high = (number(row[f"{name}_mean"]) for name in TIE_BOUNDS)
    column = f"{TIE_BOUNDS[0]}_mean"
    if low is None or high is None:
        return Value("n/a", "", column, reason="no value")
    return Value(f"{low:.4f} to {high:.4f}", row[column], column)


def _starred(row: dict[str, str], name: str, source: Source) -> Value:
    """A mean with a star where it differs significantly from the baseline's."""
    value, p, level = _mean(row, name), number(row.get(f"{name}_p_value", "")), source.about.get("significance")
    return replace(value, star=p is not None and level is not None and p < level)


def _star_caption(source: Source) -> list[str]:
    level, test = source.about.get("significance"), source.about.get("test")
    if level is None:
        return []
    return [f"* marks p < {level} against quantizer {BASELINE}" + (f" ({test})" if test else "") + "."]


def _comparison_columns(source: Source) -> list[Column]:
    return [
        Column(f"Δ {BASELINE}", hint=f"difference to {BASELINE}, same method and bits"),
        Column("95% interval", hint="of the difference, from the test's t distribution"),
        Column("improv. %", hint=f"relative improvement over {BASELINE}, percent"),
        Column("effect", hint="the difference in standard deviations (paired: of the differences)"),
        Column("p-value", hint=str(source.about.get("test", "p-value"))),
        Column("p (Holm)", hint="adjusted for all tests of the metric in this table"),
    ]


def _comparison(row: dict[str, str], metric: str, source: Source) -> list[Value]:
    """What ``_comparison_columns`` announces; the reason for a missing test is spelled out beside p."""
    note = row.get(f"{metric}_note", "") or "no value"

    def signed(suffix: str, digits: int) -> Value:
        column = f"{metric}_{suffix}"
        value = number(row.get(column, ""))
        return Value("n/a", "", column, reason=note) if value is None else _as(_signed(value, digits), row, column)

    def chance(suffix: str, remark: str) -> Value:
        column = f"{metric}_{suffix}"
        p, level = number(row.get(column, "")), source.about.get("significance")
        if p is None:
            return Value("n/a", "", column, reason=note, note=remark)
        return replace(_as(f"{p:#.3g}", row, column), star=level is not None and p < level)

    low, high = signed("low", 4), signed("high", 4)
    interval = replace(low, text=f"{low.text} to {high.text}") if low.data else low
    return [
        signed("difference", 4),
        interval,
        signed("improvement_percent", 2),
        signed("effect_size", 1),
        chance("p_value", note),
        chance("p_holm", ""),
    ]


def _as(text: str, row: dict[str, str], column: str) -> Value:
    return Value(text, row[column], column)


def _test_caption(source: Source) -> list[str]:
    test, level = source.about.get("test"), source.about.get("significance")
    compared = (
        f"Δ, its 95% interval, improvement, effect and p compare with quantizer {BASELINE} of the same method and bits"
    )
    star = "" if level is None else f"; * marks p < {level}"
    return [compared + (f"; p: {test}" if test else "") + star + "."]


def _plain_value(row: dict[str, str], name: str) -> Value:
    text = row[name]
    value = number(text)
    if name in TEXTS or (value is None and text not in ("", "nan")):
        return Value(text, column=name)
    if value is None:
        return Value("n/a", "", name, reason="no value")
    whole = name in WHOLE or (text.isdigit() and "map" not in name and "@" not in name)
    return Value(f"{value:.0f}" if whole else f"{value:.4f}", text, name)


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else str(key))
    else:
        yield name, _setting(value)


def _setting(value: Any) -> str:
    if value is None or value == {} or value == []:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(_setting, value)) if isinstance(value, list) else str(value)


def _line(value: Value) -> str:
    """A value in one line of text."""
    spread = f" ± {value.spread.text}" if value.spread else ""
    return value.text + spread + "*" * value.star + (f" ({value.note})" if value.note else "")


def _escape(text: str) -> str:
    return re.sub(r"([\\`*|\[\]]|<(?=[A-Za-z/!?])|&(?=[#\w]))", r"\\\1", text).replace("\n", " ")


def _markdown_table(table: Table) -> str:
    def line(texts: list[str]) -> str:
        return "| " + " | ".join(texts) + " |"

    heads = line([_escape(column.title) for column in table.columns])
    rule = line(["---:" if column.numeric else ":---" for column in table.columns])
    body = [line([_escape(_line(value)) for value in row]) for row in table.rows]
    caption = _escape(" ".join(table.caption))
    return "\n".join([f"## {_escape(table.title)}", "", caption, "", heads, rule, *body]) + "\n"
