"""A bank: stored outputs and labels of the whole training set."""

import torch
from torch import Tensor, nn


class Bank(nn.Module):
    """The latest outputs and the labels of all training images, so that a batch can be compared with all images.

    Entries are up to one epoch old and carry no gradient. They are buffers, so they move to the method's device.

    Attributes:
        outputs: (n, K); raw outputs or codes, depending on the method.
        labels: (n, C) multi-hot.
    """

    outputs: Tensor
    labels: Tensor

    def __init__(self, num_train: int, code_length: int, num_classes: int) -> None:
        super().__init__()
        self.register_buffer("outputs", torch.zeros(num_train, code_length))
        self.register_buffer("labels", torch.zeros(num_train, num_classes))

    def fill(self, outputs: Tensor, labels: Tensor) -> None:
        """Set all entries, from outputs (n, K) and labels (n, C) of the whole training set."""
        self.outputs.copy_(outputs)
        self.labels.copy_(labels)

    def put(self, indices: Tensor, outputs: Tensor, labels: Tensor) -> None:
        """Set a batch's entries: (b,) positions in the training set, outputs (b, K), labels (b, C)."""
        self.outputs[indices] = outputs.detach().to(self.outputs.dtype)
        self.labels[indices] = labels.to(self.labels.dtype)

    @property
    def dtype(self) -> torch.dtype:
        """The precision of losses that use the bank."""
        return self.outputs.dtype
