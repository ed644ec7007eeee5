"""Optimizers and learning-rate schedules by name."""

import inspect
from typing import Any

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LRScheduler

from pipeline.encoding.network import HashNetwork
from pipeline.methods import Method
from pipeline.params import schema

MOMENTUM = 0.9


def _lean(base: type[Optimizer]) -> type[Optimizer]:
    """The same optimizer without the wrappers that import torch's compiler on their first call.

    This import takes 1.3 to 2 s, a third of the training time of a small cell, and the optimizers are not compiled.
    """
    methods = {
        "add_param_group": inspect.unwrap(base.add_param_group),
        "zero_grad": inspect.unwrap(base.zero_grad),
        "step": torch.no_grad()(inspect.unwrap(base.step)),
    }
    return type(base.__name__, (base,), methods)


OPTIMIZERS: dict[str, Any] = {
    "adam": _lean(torch.optim.Adam),
    "adamw": _lean(torch.optim.AdamW),
    "sgd": _lean(torch.optim.SGD),
}


def make(section: schema.Optimizer, network: HashNetwork, method: Method, steps: int) -> tuple[Optimizer, LRScheduler]:
    """Make the optimizer and its learning-rate schedule.

    The hash head and the method's own parameters use the learning rate. The backbone uses ``backbone_scale`` times the
    learning rate (0.1 or less is usual for pretrained weights). ``sgd`` has momentum 0.9.

    Args:
        section: params.yaml's ``training.optimizer`` section.
        network: the network to train.
        method: the method, which may have parameters of its own.
        steps: the number of batches in all epochs together.
    """
    rate = section["learning_rate"]
    groups = [
        {"params": list(network.head.parameters()) + list(method.parameters()), "lr": rate},
        {"params": list(network.backbone.parameters()), "lr": rate * section["backbone_scale"]},
    ]
    options: dict[str, Any] = {"lr": rate, "weight_decay": section["weight_decay"]}
    if section["name"] == "sgd":
        options["momentum"] = MOMENTUM
    fused = network.device.type in ("cpu", "cuda")
    optimizer = OPTIMIZERS[section["name"]](groups, fused=fused, **options)
    if section["schedule"] == "cosine":
        return optimizer, CosineAnnealingLR(optimizer, steps)
    return optimizer, LambdaLR(optimizer, lambda step: 1.0)
