"""Networks as folders, made without training."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from pipeline.encoding.device import Compute
from pipeline.encoding.head import LINEAR, make_head
from pipeline.encoding.network import FeatureNetwork, HashNetwork, build
from pipeline.operations.model.files import write_folder

CPU = torch.device("cpu")
CNN = {"name": "cnn", "weights": "none", "input_size": 8, "frozen": False}


def of_images(folder: Path, size: int = 8, bits: int = 16, precision: str = "float32", **section: Any) -> HashNetwork:
    """Write a network of random weights that reads images of ``size`` pixels, and return it."""
    torch.manual_seed(0)
    backbone: Any = CNN | section
    network = build(backbone, bits, Compute(CPU, precision))
    _fit(network, torch.randint(0, 256, (16, 3, size, size), dtype=torch.uint8))
    about = {"backbone": backbone, "bits": bits, "precision": precision, "image_size": size, "head": LINEAR}
    return _written(folder, network, about)


def of_vectors(folder: Path, num_features: int = 24, bits: int = 16, **head: Any) -> HashNetwork:
    """Write a head of random weights that reads vectors, and return it."""
    torch.manual_seed(0)
    section: Any = {**LINEAR, **head}
    network = FeatureNetwork(make_head(section, num_features, bits), bits, Compute(CPU, "float32"))
    about = {"bits": bits, "precision": "float32", "image_size": None, "num_features": num_features, "head": section}
    return _written(folder, network, about | {"backbone": {**CNN, "name": "identity"}})


def _fit(network: HashNetwork, images: torch.Tensor) -> None:
    """Give batch normalization the statistics of some images: outputs of deep random networks would all be 0."""
    layers = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 1.0
    network.train()
    network.backbone.train()  # also if it is frozen
    with torch.no_grad():
        network(images)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum


def _written(folder: Path, network: HashNetwork, about: dict[str, Any]) -> HashNetwork:
    folder.mkdir(exist_ok=True)
    write_folder(network.state_dict(), about, folder)
    return network.eval()
