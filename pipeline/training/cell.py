"""Training one cell: from its params to weights, history and metrics on disk."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from pipeline import methods, quantizers
from pipeline.encoding import device as devices
from pipeline.encoding.network import build
from pipeline.preparation.arrays import Prepared
from pipeline.preparation.splits import Split
from pipeline.runtime.layout import Cell
from pipeline.runtime.outputs import write_json
from pipeline.training.history import History
from pipeline.training.loop import Trainer


def train(params: dict[str, Any], cell: Cell, data: Prepared, split: Split, target: Path) -> None:
    """Train a cell and write ``weights.safetensors``, ``history.csv`` and ``training.json`` into ``target``.

    The seed fixes initial weights, order of batches, augmentation and random targets; the split comes with it.
    Nothing that differs between two runs of the same cell (times, host names) goes into the files.
    """
    device = devices.choose(params["compute"])
    devices.make_deterministic(cell.seed, device)
    network = build(params["backbone"], cell.bits, device)
    method = methods.create(
        cell.method,
        code_length=cell.bits,
        num_classes=data.labels.shape[1],
        num_train=len(split.training_indices(methods.training_part(cell.method))),
        **params["methods"][cell.method],
    ).to(device)
    quantizer = quantizers.create(cell.quantizer, **params["quantizers"][cell.quantizer])
    trainer = Trainer(
        network,
        method,
        quantizer,
        data,
        split,
        params["training"],
        quantizer_name=cell.quantizer,
        seed=cell.seed,
    )
    fitted = trainer.fit(History(target / "history.csv"))
    state = {name: value.detach().cpu().contiguous() for name, value in fitted.state.items()}
    save_file(state, target / "weights.safetensors")
    record = {
        "selection": params["training"]["selection"],
        "selected_epoch": fitted.selected_epoch,
        "epochs": params["training"]["epochs"],
        "validation_map": fitted.validation_map,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "device": device.type,
        "torch": torch.__version__.split("+")[0],
    }
    write_json(target / "training.json", record)
