"""Methods without training: their head is computed in closed form from the features of the training images."""

import math
from contextlib import closing

import torch

from pipeline.encoding.encode import outputs_of
from pipeline.encoding.head import without_last
from pipeline.encoding.images import inputs
from pipeline.encoding.network import HashNetwork
from pipeline.methods import Method
from pipeline.preparation.arrays import Prepared
from pipeline.preparation.splits import Split
from pipeline.training.history import History
from pipeline.training.loop import Fitted
from pipeline.training.selection import Selection


class Solver:
    """Gives a network the linear head that a method without training computes. ``fit`` is that of ``Trainer``.

    Args:
        network: a network without hidden layers, on its device.
        method: a method whose ``training_free`` is true.
        data: the prepared dataset, or its features.
        split: the images of each part.
        seed: seed of the method's random numbers.
    """

    def __init__(self, network: HashNetwork, method: Method, data: Prepared, split: Split, *, seed: int) -> None:
        self.network, self.method = network, method
        self.device = network.device
        self.images = inputs(data.images, split.training_indices(method.trains_on), self.device)
        network.adapt(self.images)
        self.generator = torch.Generator().manual_seed(seed)
        self.selection = Selection("validation", data, split, self.device)

    @torch.no_grad()
    def fit(self, history: History) -> Fitted:
        """Compute the head. The history gets one row, which has the validation mAP and no loss."""
        head = self.network.head
        self.network.head, last = without_last(head)
        features = outputs_of(self.network, self.images)
        self.network.head = head
        weight, bias = self.method.solve(features.cpu().double(), self.generator)
        last.weight.copy_(weight)
        last.bias.copy_(bias)
        found = self.selection.validation_map(self.network)
        with closing(history):
            history.add({"epoch": 1, "learning_rate": math.nan, "loss": math.nan, "validation_map": found})
        return Fitted(self.network.state_dict(), 1, found)
