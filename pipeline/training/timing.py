"""Seconds per epoch of one method at one batch size, with each of several quantizers (Table 2 of the WR paper)."""

import time
from pathlib import Path

import torch

from pipeline import protocols
from pipeline.params import Params
from pipeline.preparation.arrays import Prepared
from pipeline.runtime.layout import Group
from pipeline.runtime.outputs import write_csv
from pipeline.training.cell import trainer
from pipeline.training.loop import Trainer
from pipeline.training.setting import with_setting
from pipeline.training.trial import too_large


def measure(params: Params, method: str, batch_size: int, data: Prepared, target: Path) -> None:
    """Time ``timing.epochs`` epochs with every quantizer and write ``timing.csv``, one row per epoch.

    The quantizers alternate epoch by epoch, so that other load on the machine affects all of them equally. One epoch of
    each is run first and not counted, because it sets up memory, caches and kernels. Validation is not timed. An epoch
    leaves out an incomplete last batch; the seconds are scaled to all images.

    Deviation from Table 2: the paper doesn't say what an epoch contains, or how many were averaged.

    Args:
        params: the content of params.yaml. Tuned settings are not used, since weights don't change the time.
        method: the name of the method.
        batch_size: images in a batch.
        data: the prepared dataset.
        target: the folder to write into.

    Raises:
        UserError: the batch size is larger than an epoch.
    """
    rows = by_turns(trainers(params, method, batch_size, data), params["timing"]["epochs"])
    write_csv(target / "timing.csv", ("quantizer", "epoch", "seconds"), rows)


def trainers(params: Params, method: str, batch_size: int, data: Prepared) -> dict[str, Trainer]:
    """A trainer for each quantizer of the ``timing`` section, ready for its first epoch.

    Raises:
        UserError: the batch size is larger than an epoch.
    """
    section, seed = params["timing"], params["grid"]["seeds"][0]
    split = protocols.draw(params["split"], data.labels, data.ids, seed)
    ready = {}
    for quantizer in section["quantizers"]:
        group = Group(method, quantizer, section["bits"])
        ready[quantizer] = trainer(with_setting(params, group, {"batch_size": batch_size}), group, seed, data, split)
        if ready[quantizer].batch_size != batch_size:
            raise too_large(batch_size, ready[quantizer].epoch_size)
        ready[quantizer].prime()
    return ready


def by_turns(ready: dict[str, Trainer], epochs: int) -> list[tuple[str, int, float]]:
    """Time epochs, alternating between the trainers.

    Args:
        ready: trainers by the name of their quantizer.
        epochs: epochs to count; one more is run first and not counted.

    Returns:
        (quantizer, epoch from 1, seconds) of each epoch.
    """
    rows = [(quantizer, epoch, seconds(one, epoch)) for epoch in range(epochs + 1) for quantizer, one in ready.items()]
    return [row for row in rows if row[1] > 0]


def seconds(one: Trainer, epoch: int) -> float:
    """Wall-clock seconds of one epoch, scaled to all of its images."""
    finish(one.device)
    start = time.perf_counter()
    one.epoch(epoch)
    finish(one.device)
    passed = time.perf_counter() - start
    return float(passed * one.epoch_size / (one.batches * one.batch_size))


def finish(device: torch.device) -> None:
    """Wait until a GPU has finished its work, which it does asynchronously."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
