"""The layout of the HSWD paper's Tables 4 to 6 (Doan et al., supplement, CVPR 2022): quantization losses by method.

Rows are METHOD with its own quantization loss, METHOD-S with the sliced loss (``swd``) and METHOD-C with HSWD.
A table cell holds the number and its relative improvement in percent. For published numbers, it is computed from the
numbers shown; if the paper prints a percentage that its numbers contradict, a note gives the printed one.
"""

from collections.abc import Iterable

from pipeline.aggregation import BASELINE
from pipeline.report.published.records import Record, improvement_over
from pipeline.report.tables.model import NONE, Column, Value
from pipeline.report.tables.papers.layout import (
    Grid,
    Place,
    absent,
    at,
    chosen_bits,
    columns,
    deviation,
    methods,
    places,
)
from pipeline.report.tables.values import signed

SUFFIXES = {BASELINE: "", "swd": "-S", "hswd": "-C"}
#: Half a unit of the last digit that the paper prints.
VALUE_ROUNDING, PERCENT_ROUNDING = 0.00005, 0.05


def losses(records: list[Record], bits: Iterable[int]) -> Grid:
    """Tables 4 to 6: one row per (method, quantization loss), one column per dataset and code length.

    Args:
        records: the numbers to lay out.
        bits: the code lengths to show; all code lengths if the records have none of these.
    """
    variants = [name for name in SUFFIXES if name != BASELINE]
    wanted = set(methods(records, variants))
    chosen = chosen_bits([r for r in records if r.quantizer in SUFFIXES and r.method in wanted], bits)
    found = places(chosen)
    heads = [Column("method", numeric=False), Column("row", numeric=False, hint="-S: swd, -C: hswd")]
    rows = []
    for method in methods(chosen, variants):
        for quantizer, suffix in SUFFIXES.items():
            if any(record.quantizer == quantizer for record in chosen):
                cells = [_cell(chosen, method, quantizer, place) for place in found]
                rows.append([Value(method), Value(f"{method}{suffix}"), *cells])
    return Grid([*heads, *columns(found)], rows, _printed_caption(chosen))


def contradicts(record: Record, baseline: Record) -> bool:
    """Whether the printed improvement cannot result from the number and its baseline, given their rounding."""
    if not record.printed or record.value is None or baseline.value is None:
        return False
    low = 100 * ((record.value - VALUE_ROUNDING) / (baseline.value + VALUE_ROUNDING) - 1)
    high = 100 * ((record.value + VALUE_ROUNDING) / (baseline.value - VALUE_ROUNDING) - 1)
    return not low - PERCENT_ROUNDING <= float(record.printed) <= high + PERCENT_ROUNDING


def _cell(records: list[Record], method: str, quantizer: str, place: Place) -> Value:
    """The number (ours with its standard deviation) and the improvement over the method's own loss."""
    record, baseline = at(records, method, quantizer, place), at(records, method, BASELINE, place)
    if record is None or record.value is None:
        return absent(record, place.name)
    spread = deviation(record, f"{place.name}_std", 4)
    text = f"{record.value:.4f}" + (f" ± {spread.text}" if spread else "")
    more = [spread] * bool(spread)
    notes = [record.note] * bool(record.note)
    if quantizer != BASELINE:
        percent = improvement_over(record, baseline)
        text += f" / {NONE}" if percent is None else f" / {signed(percent, 1)}%"
        exact = "" if percent is None else repr(percent)
        more.append(Value(text, exact, f"{place.name}_improvement_percent"))
        notes += [f"no {BASELINE}"] * (percent is None)
        if baseline is not None and contradicts(record, baseline):
            notes.append(f"printed: {record.printed}%")
    return Value(text, record.text, place.name, note="; ".join(notes), star=record.star, more=tuple(filter(None, more)))


def _printed_caption(records: list[Record]) -> list[str]:
    """How many of the printed percentages the paper's own numbers contradict."""
    printed = [record for record in records if record.printed]
    wrong = 0
    for record in printed:
        baseline = at(records, record.method, BASELINE, Place(record.dataset, record.bits))
        wrong += baseline is not None and contradicts(record, baseline)
    if not printed:
        return []
    verdict = f"{wrong} of the {len(printed)} that the paper prints differ by more than rounding, as notes say"
    agree = f"all {len(printed)} that the paper prints agree"
    return [f"Percentages are computed from the numbers shown; {verdict if wrong else agree}."]
