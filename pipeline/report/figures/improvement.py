"""Improvement over the baseline by method and code length, next to the published one."""

from collections.abc import Iterator
from typing import Any

import pandas
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pipeline.aggregation import BASELINE
from pipeline.report.figures.style import AXIS, FigureDraft, FigureGroup, code_lengths, color, method_panels, numeric
from pipeline.report.published.counterparts import pairs
from pipeline.report.source import Source

CAPTION = (
    f"Improvement of mAP over {BASELINE} in percent of its mAP. Dots: ours, mean over seeds; bars: the 95% interval of "
    "the difference. Hollow diamonds: published. The grey line is no improvement."
)
#: Distance of neighbouring quantizers on the axis of code lengths, as a factor.
APART = 1.06


def groups(source: Source) -> Iterator[FigureGroup]:
    table = _improvements(source)
    if source.published["tables"] and not table.empty:
        title = f"Improvement over {BASELINE}, ours and published"
        yield FigureGroup("improvement", title, CAPTION, [FigureDraft("improvement", title, draw(source, table))])


def _improvements(source: Source) -> pandas.DataFrame:
    """Our comparisons with the baseline: ``mean``, ``low`` and ``high`` in percent of the baseline's mean."""
    table = numeric(source.results)
    table = table[(table["quantizer"] != BASELINE) & table["map_difference"].notna()]
    base = table["map_mean"] - table["map_difference"]
    names = {"mean": "map_difference", "low": "map_low", "high": "map_high"}
    return table.assign(**{name: 100 * table[column] / base for name, column in names.items()})[base > 0]


def _published(source: Source) -> dict[tuple[str, str], dict[int, float]]:
    """Published improvements of mAP in percent, by method and quantizer, then by code length."""
    found: dict[tuple[str, str], dict[int, float]] = {}
    for pair in pairs(source):
        printed, improvement = pair.published, pair.improvements[0]
        if printed.metric == "map" and improvement is not None and str(printed.bits) in source.bits:
            found.setdefault((printed.method, printed.quantizer), {})[printed.bits] = improvement
    return found


def draw(source: Source, table: pandas.DataFrame) -> Figure:
    """Draw a panel per method with the quantizers side by side at each code length.

    Args:
        source: the aggregated tables.
        table: as ``_improvements`` gives it.
    """
    names, published = list(dict.fromkeys(table["quantizer"])), _published(source)
    ours: dict[str, Any] = {"linestyle": "", "marker": "o", "markersize": 4.5}
    theirs: dict[str, Any] = {"linestyle": "", "marker": "D", "markersize": 5, "markerfacecolor": "none"}
    handles = {}
    for name in names:
        handles[f"{name}, ours"] = Line2D([], [], color=color(source, name), **ours)
        if any(quantizer == name for _, quantizer in published):
            handles[f"{name}, published"] = Line2D([], [], color=color(source, name), **theirs)

    def panel(axes: Axes, rows: pandas.DataFrame) -> None:
        axes.axhline(0, color=AXIS, linewidth=1)
        for place, name in enumerate(names):
            shift, shade = APART ** (2 * place - len(names) + 1), color(source, name)
            own = rows[rows["quantizer"] == name].sort_values("bits")
            errors = [(own["mean"] - own["low"]).fillna(0.0), (own["high"] - own["mean"]).fillna(0.0)]
            axes.errorbar(
                own["bits"] * shift, own["mean"], yerr=errors, color=shade, elinewidth=1.3, capsize=2.5, **ours
            )
            for method in set(rows["method"]):
                printed = published.get((method, name), {})
                at = [bits * shift * APART**0.5 for bits in printed]
                axes.plot(at, list(printed.values()), color=shade, **theirs)
        code_lengths(axes, source)

    return method_panels(source, table, "improvement in %", panel, handles)
