"""The layouts of the WR paper (Zhang et al., IJCAI 2022), Tables 1 to 3: methods without and with the regularizer.

Deviations: a significantly lower number has a note, which the paper does not need, and our numbers have their standard
deviation over seeds.
"""

from pipeline.aggregation import BASELINE
from pipeline.report.published.records import Record
from pipeline.report.tables.model import NONE, Column, Value, missing
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
from pipeline.statistics import average_improvement

VARIANT = "wr"
SIDES = {BASELINE: "without", VARIANT: "with"}
ACCURACY_BITS, SECONDS_BITS, INFORMATIVENESS_BITS = (16, 32, 48, 64), (48,), (16, 48)
Side = tuple[str, str]


def accuracy(records: list[Record]) -> Grid:
    """Table 1: methods by code length, without and with WR; the last columns are average improvements in percent.

    For each dataset, the average is over the code lengths that have numbers both without and with WR
    (``pipeline.statistics.average_improvement``).
    """
    found, sides = _informed(chosen_bits(_both(records), ACCURACY_BITS))
    along: dict[str, list[Place]] = {}
    for place in found:
        along.setdefault(place.dataset, []).append(place)
    heads = [
        Column(f"Δ % {name}" if len(along) > 1 else "Δ %", hint=_DELTA, plain=f"{name}_average_improvement_percent")
        for name in along
    ]
    rows = [[*row, *(_average(records, side, part) for part in along.values())] for side, row in sides.items()]
    caption = ["Δ is the average improvement over code lengths, in percent."]
    return Grid([*_side_columns(), *columns(found), *heads], rows, caption)


_DELTA = "improvement of the mean over code lengths, percent"


def informativeness(records: list[Record]) -> Grid:
    """Table 3: mutual information in nats, laid out as Table 1 without the averages."""
    found, rows = _informed(chosen_bits(_both(records), INFORMATIVENESS_BITS))
    return Grid([*_side_columns(), *columns(found)], list(rows.values()), [])


def seconds(records: list[Record]) -> Grid:
    """Table 2: seconds per epoch by batch size, without and with WR, and the overhead of WR in percent.

    Values are means over methods, as the paper's caption says: over those timed both without and with WR at that batch
    size. There are three rows per code length.
    """
    chosen = [record for record in chosen_bits(_both(records), SECONDS_BITS) if record.value is not None]
    sizes = sorted({record.batch_size for record in chosen})
    rows = []
    for bits in sorted({record.bits for record in chosen}):
        pairs = {size: _timed(chosen, bits, size) for size in sizes}
        lead, most = Value(str(bits), str(bits), "bits"), max(map(len, pairs.values()))
        for place, word in enumerate(SIDES.values()):
            rows.append([Value(word), lead, *(_second(pairs[size], place, size, most) for size in sizes)])
        rows.append([Value("overhead %"), lead, *(_overhead(pairs[size], size) for size in sizes)])
    heads = [Column(f"batch {size}", plain=f"batch_size_{size}") for size in sizes]
    named = [method for method in methods(chosen, [VARIANT]) if method]  # the paper's averages have no method name
    caption = [f"Means over {', '.join(named)}."] if named else []
    caption.append("The overhead is what WR takes beyond the method without it, in percent.")
    return Grid([Column("WR", numeric=False), Column("bits", hint="code length"), *heads], rows, caption)


def _both(records: list[Record]) -> list[Record]:
    """The records without and with WR, of the methods that have one with WR."""
    wanted = set(methods(records, [VARIANT]))
    return [record for record in records if record.quantizer in SIDES and record.method in wanted]


def _side_columns() -> list[Column]:
    return [Column("method", numeric=False), Column("WR", numeric=False, hint="the regularizer: without or with")]


def _informed(records: list[Record]) -> tuple[list[Place], dict[Side, list[Value]]]:
    """The columns' places, and a row of means per (method, side)."""
    found = places(records)
    rows = {}
    for method in methods(records, [VARIANT]):
        for quantizer, word in SIDES.items():
            values = [_mean(at(records, method, quantizer, place), place) for place in found]
            rows[method, quantizer] = [Value(method), Value(word), *values]
    return found, rows


def _mean(record: Record | None, place: Place) -> Value:
    if record is None or record.value is None:
        return absent(record, place.name)
    spread = deviation(record, f"{place.name}_std", 4)
    return Value(f"{record.value:.4f}", record.text, place.name, spread, note=record.note, star=record.star)


def _average(records: list[Record], side: Side, along: list[Place]) -> Value:
    """The average improvement over one dataset's code lengths, shown in the row with WR."""
    method, quantizer = side
    column = f"{along[0].dataset}_average_improvement_percent"
    if quantizer == BASELINE:
        return missing(column, "baseline", shown=False)
    base, own = ([at(records, method, name, place) for place in along] for name in SIDES)
    both = [(a.value, b.value, a.bits) for a, b in zip(base, own, strict=True)
            if a is not None and b is not None and a.value is not None and b.value is not None]  # fmt: skip
    tried = sum(a is not None or b is not None for a, b in zip(base, own, strict=True))
    if not both:
        return missing(column, "no code length on both sides")
    if any(a is not None and b is not None and a.n != b.n for a, b in zip(base, own, strict=True)):
        return missing(column, "over unequal seeds")
    percent = average_improvement([a for a, _, _ in both], [b for _, b, _ in both])
    if percent is None:
        return missing(column, f"{BASELINE} is not above 0")
    over = f"over {', '.join(str(bits) for _, _, bits in both)} bits" if len(both) < tried else ""
    return Value(signed(percent, 2), repr(percent), column, note=over)


def _timed(records: list[Record], bits: int, size: int) -> dict[str, tuple[float, float]]:
    """(Seconds without WR, seconds with WR) of each method that has both."""
    found = {(r.method, r.quantizer): r.value for r in records if (r.bits, r.batch_size) == (bits, size)}
    pairs = {method: (found.get((method, BASELINE)), found.get((method, VARIANT))) for method, _ in found}
    return {method: (a, b) for method, (a, b) in pairs.items() if a is not None and b is not None}


def _second(pairs: dict[str, tuple[float, float]], place: int, size: int, most: int = 0) -> Value:
    """The mean over methods; a note says if it is over fewer methods than at other batch sizes."""
    column = f"batch_size_{size}"
    if not pairs:
        return missing(column, "no method timed on both sides")
    mean = sum(pair[place] for pair in pairs.values()) / len(pairs)
    note = f"{len(pairs)} of {most} methods" if len(pairs) < most else ""
    return Value(f"{mean:.2f}" if mean >= 1 else f"{mean:.3g}", repr(mean), column, note=note)


def _overhead(pairs: dict[str, tuple[float, float]], size: int) -> Value:
    without, with_it = _second(pairs, 0, size), _second(pairs, 1, size)
    if without.text == NONE or float(without.data or 0) <= 0:
        return missing(without.column, "no method timed on both sides")
    percent = 100 * (float(with_it.data or 0) / float(without.data or 0) - 1)
    return Value(signed(percent, 2), repr(percent), without.column)
