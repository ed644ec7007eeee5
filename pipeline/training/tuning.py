"""Tuning: choose the setting of a (method, quantizer, bits) on validation images, with as many trials for each."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any

from pipeline.params import Params
from pipeline.runtime.errors import Diverged, UserError
from pipeline.runtime.layout import Group, Layout
from pipeline.runtime.outputs import write_csv, write_json
from pipeline.training.setting import Setting


def settings(candidates: dict[str, list[Any]]) -> list[Setting]:
    """Every combination of a quantizer's candidates, the last name changing fastest."""
    return [dict(zip(candidates, values, strict=True)) for values in product(*candidates.values())]


def leave_as_is(target: Path) -> None:
    """Write an empty choice, if the values of params.yaml are used or the method has no training."""
    write_json(target / "choice.json", {"setting": {}})


def tune(params: Params, group: Group, layout: Layout, target: Path) -> None:
    """Train every setting with every tuning seed and choose the one with the best mean validation mAP.

    Each tuning seed draws its own initial weights and its own split by the protocol. Neither its query images nor those
    of the grid's seeds are used. A setting whose loss is not finite with some seed counts as a trial but can't be
    chosen. Of settings with the same mean, the first in the list is chosen.

    Source: section 5.1 of the WR paper, which tunes baselines on validation images and the weight of WR over 0.1,
    0.2, ..., 1.0. Deviation: the paper tunes the variants' weight on top of a tuned baseline. Here every quantizer has
    the same number of trials, and none starts from the tuned values of another.

    Args:
        params: the content of params.yaml.
        group: method, quantizer and code length.
        layout: the study's folders.
        target: the folder for ``curve.csv``, one row per (setting, seed), and ``choice.json``.

    Raises:
        UserError: no setting has a finite loss with every seed, or the params are wrong.
    """
    tried = settings(params["candidates"][group.quantizer])
    scores: dict[int, list[float | None]] = {}
    rows = []
    for trial, seed, score, note in _trials(params, group, layout, tried):
        rows.append({"trial": trial, "seed": seed, **tried[trial], "validation_map": score, "note": note})
        scores.setdefault(trial, []).append(score)
    means = {trial: _mean(found) for trial, found in scores.items()}
    whole = {trial: mean for trial, mean in means.items() if mean is not None}
    if not whole:
        # The last trial may have trained, if its setting failed with another seed.
        last = [row["note"] for row in rows if row["note"]][-1]
        raise UserError(
            f"no candidate of quantizer {group.quantizer!r} trains with every seed; the last failed: {last}"
        )
    best = max(whole, key=lambda trial: whole[trial])
    _write_curve(rows, target / "curve.csv")
    # Only the setting, because training depends on this file: a new candidate that isn't chosen re-trains no cell.
    write_json(target / "choice.json", {"setting": tried[best]})


def _trials(
    params: Params, group: Group, layout: Layout, tried: list[Setting]
) -> Iterator[tuple[int, int, float | None, str]]:
    """Run all trials: (index in ``tried``, seed, validation mAP or None, why it is None) of each."""
    # torch takes seconds to import, and a study that doesn't tune doesn't need it.
    from pipeline.features.views import inputs
    from pipeline.training.trial import tuning_split, validation_map

    assert params["tune"] is not None  # the stage calls tune() only with this section
    data = inputs(params, layout)
    splits = {seed: tuning_split(params, data, seed) for seed in params["tune"]["seeds"]}
    for trial, setting in enumerate(tried):
        for seed in params["tune"]["seeds"]:
            try:
                yield trial, seed, validation_map(params, group, setting, seed, data, splits[seed]), ""
            except Diverged as error:
                yield trial, seed, None, str(error)


def _mean(scores: list[float | None]) -> float | None:
    found = [score for score in scores if score is not None]
    return fmean(found) if len(found) == len(scores) else None


def _write_curve(rows: list[dict[str, Any]], file: Path) -> None:
    write_csv(file, list(rows[0]), [list(row.values()) for row in rows])
