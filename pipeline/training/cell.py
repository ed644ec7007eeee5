"""Train one cell and write its weights, history and metrics."""

import platform
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from pipeline import methods, quantizers
from pipeline.encoding import device as devices
from pipeline.encoding.network import HashNetwork, for_cell
from pipeline.params import Params
from pipeline.params.schema import TRAINING_FREE
from pipeline.preparation.arrays import Prepared
from pipeline.preparation.splits import Split
from pipeline.runtime.errors import UserError
from pipeline.runtime.layout import Cell, Group
from pipeline.runtime.outputs import write_json
from pipeline.training.closed_form import Solver
from pipeline.training.history import History
from pipeline.training.loop import Trainer
from pipeline.training.setting import Setting, spelled, with_setting


def trainer(params: Params, group: Group, seed: int, data: Prepared, split: Split) -> Trainer:
    """Build what trains one cell, from network, method and quantizer.

    Args:
        params: the content of params.yaml, with the values of a setting already in it.
        group: method, quantizer and code length.
        seed: fixes initial weights, order of batches, augmentation and random targets.
        data: the prepared dataset.
        split: the images of each part.

    Raises:
        UserError: the training images have changed since they were prepared, or a hyperparameter is wrong.
    """
    network, method = _network_and_method(params, group, seed, data, split)
    quantizer = quantizers.create(group.quantizer, **params["quantizers"][group.quantizer])
    settings, name = params["training"], group.quantizer
    return Trainer(network, method, quantizer, data, split, settings, quantizer_name=name, seed=seed)


def solver(params: Params, group: Group, seed: int, data: Prepared, split: Split) -> Solver:
    """Build what computes the head of a cell whose method has no training; arguments and errors as for ``trainer``.

    Raises:
        UserError: also if the quantizer is not ``original`` or ``none``.
    """
    if group.quantizer not in ("original", "none"):
        raise UserError(
            f"{group.method} has no training, so quantizer {group.quantizer!r} can't be added; "
            "expected original or none"
        )
    return Solver(*_network_and_method(params, group, seed, data, split), data, split, seed=seed)


def _network_and_method(
    params: Params, group: Group, seed: int, data: Prepared, split: Split
) -> tuple[HashNetwork, methods.Method]:
    """The network with its initial weights and the method, both on the device."""
    images = split.training_indices(methods.kind(group.method).trains_on)
    data.check(images)
    compute = devices.choose(params["compute"])
    devices.make_deterministic(seed, compute.device)
    network = for_cell(params, group, compute, data)
    method = methods.create(
        group.method,
        code_length=group.bits,
        num_classes=data.labels.shape[1],
        num_train=len(images),
        **params["methods"][group.method],
    ).to(compute.device)
    return network, method


def train(params: Params, setting: Setting, cell: Cell, data: Prepared, split: Split, target: Path) -> None:
    """Train a cell and write ``weights.safetensors``, ``history.csv`` and ``training.json`` into ``target``.

    The files contain nothing that differs between two runs of the same cell, such as times or host names.
    ``training.json`` records what the numbers depend on in addition to params and code: split, dataset, device,
    precision and versions. Params and code are recorded in ``made_of.json`` (``pipeline.runtime.provenance``).

    Args:
        params: the content of params.yaml.
        setting: the values that tuning chose; they replace those in ``params``.
        cell: method, quantizer, code length and seed.
        data: the prepared dataset.
        split: the images of each part.
        target: the folder to write into.

    Raises:
        Diverged: the loss is not finite.
        UserError: the training images have changed since they were prepared, or a hyperparameter is wrong.
    """
    params = with_setting(params, cell.group, setting)
    build = solver if cell.method in TRAINING_FREE else trainer
    ready = build(params, cell.group, cell.seed, data, split)
    devices.warn_if_native(params["compute"]["numerics"], ready.network.compute)
    fitted = ready.fit(History(target / "history.csv"))
    state = {name: value.detach().cpu().contiguous() for name, value in fitted.state.items()}
    save_file(state, target / "weights.safetensors")
    record = {
        "selection": params["training"]["selection"],
        "selected_epoch": fitted.selected_epoch,
        "epochs": params["training"]["epochs"],
        "validation_map": fitted.validation_map,
        **({"setting": spelled(setting)} if setting else {}),
        "parameters": sum(parameter.numel() for parameter in ready.network.parameters()),
        "device": ready.device.type,
        "precision": ready.network.compute.precision,
        "numerics": devices.kernels(ready.network.compute),
        "torch": torch.__version__.split("+")[0],
        "numpy": np.__version__,
        "python": platform.python_version(),
        "split_hash": split.digest()[:16],
        "content_hash": data.manifest["content_hash"][:16],
    }
    write_json(target / "training.json", record)
