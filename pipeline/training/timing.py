"""Seconds an epoch of one method at one batch size, with each of several quantizers (Table 2 of the WR paper)."""

import csv
import time
from pathlib import Path
from typing import Any

import torch

from pipeline import protocols
from pipeline.preparation.arrays import Prepared
from pipeline.runtime.layout import Group
from pipeline.training.cell import trainer
from pipeline.training.loop import Trainer
from pipeline.training.setting import with_setting
from pipeline.training.trial import too_large


def measure(params: dict[str, Any], method: str, batch_size: int, data: Prepared, target: Path) -> None:
    """Time ``timing.epochs`` epochs of every quantizer in turn and write ``timing.csv``, a row an epoch.

    The quantizers take turns epoch by epoch, so that whatever else the machine does meets all of them alike. One epoch
    of each is run before and not counted (memory, caches and kernels are set up in it). Validation isn't part of it.
    Where the images don't fill the last batch, which an epoch leaves out, the seconds are scaled to all of them.

    Deviation from Table 2: it doesn't say what an epoch there contains, or how many were averaged.

    Raises:
        UserError: the batch size is larger than an epoch.

    Args:
        params: as params.yaml has them; no tuned setting is looked at, since weights don't change the time.
    """
    rows = by_turns(trainers(params, method, batch_size, data), params["timing"]["epochs"])
    with (target / "timing.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("quantizer", "epoch", "seconds"))
        writer.writerows(rows)


def trainers(params: dict[str, Any], method: str, batch_size: int, data: Prepared) -> dict[str, Trainer]:
    """For each quantizer of the ``timing`` section, what is about to begin its first epoch.

    Raises:
        UserError: the batch size is larger than an epoch.
    """
    section, seed = params["timing"], params["grid"]["seeds"][0]
    split = protocols.draw(params["split"], data.labels, seed)
    ready = {}
    for quantizer in section["quantizers"]:
        group = Group(method, quantizer, section["bits"])
        ready[quantizer] = trainer(with_setting(params, group, {"batch_size": batch_size}), group, seed, data, split)
        if ready[quantizer].batch_size != batch_size:
            raise too_large(batch_size, ready[quantizer].epoch_size)
        ready[quantizer].prime()
    return ready


def by_turns(ready: dict[str, Trainer], epochs: int) -> list[tuple[str, int, float]]:
    """(quantizer, epoch from 1, seconds), each quantizer's turn after the other's; one epoch before isn't counted."""
    rows = [(quantizer, epoch, seconds(one, epoch)) for epoch in range(epochs + 1) for quantizer, one in ready.items()]
    return [row for row in rows if row[1] > 0]


def seconds(one: Trainer, epoch: int) -> float:
    """Seconds of wall time that an epoch takes, scaled to all images of it."""
    _finish(one.device)
    start = time.perf_counter()
    one.epoch(epoch)
    _finish(one.device)
    passed = time.perf_counter() - start
    return float(passed * one.epoch_size / (one.batches * one.batch_size))


def _finish(device: torch.device) -> None:
    """A GPU works on after the call that gave it the work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
