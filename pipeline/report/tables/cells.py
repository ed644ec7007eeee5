"""Table of all cells with all columns of ``cells.csv``."""

from pipeline.report.rows import Row, records
from pipeline.report.source import Source, number
from pipeline.report.tables.captions import split_caption
from pipeline.report.tables.model import NONE, Column, Table, Value, missing

TEXTS = (
    "method", "quantizer", "selection", "setting", "device", "precision", "numerics", "torch", "numpy", "python",
    "split_hash", "content_hash",
)  # fmt: skip
WHOLE = ("bits", "seed", "n", "selected_epoch", "epochs")
CORE = ("method", "quantizer", "bits", "seed", "map", "validation_map", "selected_epoch", "epochs")


def cells(source: Source) -> Table:
    """One row per cell with every column of the file; columns with one value for all cells go into the caption."""
    rows = list(records(source.cells))
    kept = (*CORE, *source.metrics)
    same = {name: text for name, text in (rows[0] if len(rows) > 1 else {}).items()
            if name not in kept and all(row[name] == text for row in rows)}  # fmt: skip
    names = [str(name) for name in source.cells.columns if name not in same]
    columns = [Column(_title(name, source), name not in TEXTS, plain=name) for name in names]
    caption = ["Every cell: one training run of one method, quantizer, code length and seed.", *split_caption(source)]
    if same:
        shared = ", ".join(f"{_title(name, source)} {text or NONE}" for name, text in same.items())
        caption.append(f"The same in all of them: {shared}.")
    return Table("cells", "Every cell", caption, columns, [[_value(row, name) for name in names] for row in rows])


def _title(name: str, source: Source) -> str:
    if name == "map":
        return source.map_label
    return name.replace("validation_map", "validation mAP").replace("_", " ")


def _value(row: Row, name: str) -> Value:
    text = row[name]
    value = number(text)
    if name in TEXTS or (value is None and text not in ("", "nan")):
        return Value(text, column=name)
    if value is None:
        return missing(name, "no value", shown=False)
    whole = name in WHOLE or (text.isdigit() and "map" not in name and "@" not in name)
    return Value(f"{value:.0f}" if whole else f"{value:.4f}", text, name)
