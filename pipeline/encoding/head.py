"""The hash head: what turns features into raw outputs u."""

from collections.abc import Iterable
from typing import NotRequired

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.params import schema
from pipeline.params.schema import BATCH_NORM, TRAINING_FREE


class Head(schema.Head):
    """A method's head: params.yaml's section, and ``Method.batch_norm``."""

    batch_norm: NotRequired[bool]


#: One linear layer.
LINEAR: Head = {"hidden": [], "dropout": 0.0, "normalize": "none"}


def of_method(params: schema.Params, method: str) -> Head:
    """The head of a method: the ``head`` section; without hidden layers for a method without training.

    ``batch_norm`` is set for methods whose class asks for it.
    """
    section = params["head"]
    head: Head = {"hidden": section["hidden"], "dropout": section["dropout"], "normalize": section["normalize"]}
    if method in TRAINING_FREE:
        head["hidden"] = []
    if method in BATCH_NORM:
        head["batch_norm"] = True
    return head


def without_last(head: nn.Module) -> tuple[nn.Module, nn.Linear]:
    """Split a head into what precedes its last layer, and this layer."""
    if isinstance(head, nn.Linear):
        return nn.Identity(), head
    assert isinstance(head, nn.Sequential) and isinstance(head[-1], nn.Linear)
    return head[:-1], head[-1]


def make_head(section: Head, num_features: int, code_length: int) -> nn.Module:
    """Make a head: normalization, hidden layers with ReLU and dropout, and one linear layer to the K outputs.

    With ``batch_norm``, the outputs are normalized over a batch, with learned scale and shift.

    Args:
        section: what ``of_method`` returns.
        num_features: D, the number of features.
        code_length: K, the number of bits.
    """
    layers: list[nn.Module] = []
    if section["normalize"] == "standardize":
        layers.append(Standardize(num_features))
    elif section["normalize"] == "l2":
        layers.append(UnitLength())
    for width in section["hidden"]:
        layers += [nn.Linear(num_features, width), nn.ReLU(), nn.Dropout(section["dropout"])]
        num_features = width
    last = nn.Linear(num_features, code_length)
    # Outputs have unit variance for unit features, whatever the number of features. Outputs near 0 would be a saddle
    # point of inner-product losses, from which all bits learn the same direction (with std 0.01, which suits 4,096
    # features, dhn has mAP 0.56 on digits).
    nn.init.normal_(last.weight, std=num_features**-0.5)
    nn.init.zeros_(last.bias)
    layers.append(last)
    if "batch_norm" in section:
        layers.append(nn.BatchNorm1d(code_length))
    # A single layer is not wrapped, so that its weights are called head.weight and head.bias.
    return nn.Sequential(*layers) if len(layers) > 1 else last


class Standardize(nn.Module):
    """Gives each feature mean 0 and standard deviation 1 on the training set.

    Args:
        num_features: D.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(num_features))
        self.register_buffer("deviation", torch.ones(num_features))

    @torch.no_grad()
    def fit(self, batches: Iterable[Tensor]) -> None:
        """Set mean and deviation from all features of the training set, in batches of (b, D).

        A constant feature gets the deviation 1. Sums are in float64.
        """
        count, total, squares = 0, torch.zeros_like(self.mean, dtype=torch.float64), None
        for batch in batches:
            if squares is None:
                # Subtracting one row first keeps the precision of features that are far from 0.
                origin, squares = batch[0].double(), torch.zeros_like(total)
            moved = batch.double() - origin
            count, total, squares = count + len(batch), total + moved.sum(dim=0), squares + moved.square().sum(dim=0)
        if squares is not None:
            mean = total / count
            variance = (squares / count - mean.square()).clamp(min=0)
            self.mean.copy_(origin + mean)
            self.deviation.copy_(torch.where(variance > 0, variance.sqrt(), 1))

    def forward(self, features: Tensor) -> Tensor:
        return (features - self.mean) / self.deviation


class UnitLength(nn.Module):
    """Scales each image's features to a Euclidean norm of 1."""

    def forward(self, features: Tensor) -> Tensor:
        return functional.normalize(features, dim=1)
