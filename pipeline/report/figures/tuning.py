"""Validation mAP against a quantizer's weight (WR, Figure 2), a figure per quantizer, a panel per method."""

from collections.abc import Iterator
from typing import Any

import pandas
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pipeline.aggregation import BASELINE
from pipeline.report.figures.style import (
    INK,
    MARKERS,
    PALETTE,
    FigureDraft,
    FigureGroup,
    band,
    method_panels,
    numeric,
    slug,
    tested_values,
)
from pipeline.report.source import Source

CAPTION = (
    "Mean over seeds; band: ± standard deviation. Ring: the weight that was chosen. Dotted line: the best that "
    f"{BASELINE} reached at the same code length. Where another value was tuned along with the weight, each point is "
    "the best of its trials. The axis does not start at zero."
)


def groups(source: Source) -> Iterator[FigureGroup]:
    if source.tuning is not None and "weight" in source.tuning:
        yield FigureGroup("weight", "Validation mAP against the quantizer's weight", CAPTION, _sketches(source))


def _sketches(source: Source) -> Iterator[FigureDraft]:
    trials = numeric(source.tuning)
    trials = trials[trials["validation_map_mean"].notna()]
    baseline, weighted = trials[trials["quantizer"] == BASELINE], trials[trials["weight"].notna()]
    for name in dict.fromkeys(weighted["quantizer"]):
        rows = weighted[weighted["quantizer"] == name]
        yield FigureDraft(f"weight-{slug(name)}", name, draw(source, rows, baseline))


def draw(source: Source, trials: pandas.DataFrame, baseline: pandas.DataFrame) -> Figure:
    """Draw a panel per method with a line per code length.

    Args:
        source: the aggregated tables.
        trials: one quantizer's trials.
        baseline: the baseline's trials.
    """
    lengths = sorted(trials["bits"].unique())

    def panel(axes: Axes, rows: pandas.DataFrame) -> None:
        reference = baseline[baseline["method"] == rows["method"].iloc[0]]
        for at, bits in enumerate(lengths):
            best = reference.loc[reference["bits"] == bits, "validation_map_mean"].max()
            _line(axes, rows[rows["bits"] == bits], best, at)
        tested_values(axes, rows["weight"])
        axes.set_xlabel("weight")

    return method_panels(source, trials, "validation mAP", panel, _handles(lengths))


def _line(axes: Axes, trials: pandas.DataFrame, reference: float, at: int) -> None:
    best = trials.sort_values("validation_map_mean").groupby("weight").tail(1).sort_values("weight")
    shade = _shade(at)
    axes.plot(best["weight"], best["validation_map_mean"], color=shade, marker=_marker(at), markersize=4.5)
    band(axes, best["weight"], best["validation_map_mean"], best["validation_map_std"], shade)
    chosen = trials[trials["chosen"] == "yes"]
    axes.plot(chosen["weight"], chosen["validation_map_mean"], **_ring())
    if reference == reference:  # not NaN, so the baseline was tuned
        axes.axhline(reference, color=shade, linestyle=":", linewidth=1.4)


def _shade(at: int) -> str:
    """A code length's colour; grey is reserved for the baseline."""
    return PALETTE[1 + at % (len(PALETTE) - 1)]


def _marker(at: int) -> str:
    return MARKERS[at % len(MARKERS)]


def _ring() -> dict[str, Any]:
    return {"linestyle": "", "marker": "o", "markersize": 11, "markerfacecolor": "none", "markeredgecolor": INK}


def _handles(lengths: list[float]) -> dict[str, Line2D]:
    """The legend's lines by their labels."""
    lines = {
        f"{bits:g} bits": Line2D([], [], color=_shade(at), marker=_marker(at), markersize=4.5)
        for at, bits in enumerate(lengths)
    }
    ring, best = Line2D([], [], **_ring()), Line2D([], [], color=INK, linestyle=":", linewidth=1.4)
    return {**lines, "chosen": ring, f"best {BASELINE}": best}
