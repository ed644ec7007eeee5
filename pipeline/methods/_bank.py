"""What a method remembers of the whole training set while it sees a batch at a time."""

import torch
from torch import Tensor, nn


class Bank(nn.Module):
    """Every training image's latest outputs and its labels, so that a batch is compared with all images.

    Entries lag by up to an epoch and carry no gradient. Buffers, so they go to the method's device.

    Attributes:
        outputs: (n, K); what the method puts there, raw outputs or codes.
        labels: (n, C) multi-hot.
    """

    outputs: Tensor
    labels: Tensor

    def __init__(self, num_train: int, code_length: int, num_classes: int) -> None:
        super().__init__()
        self.register_buffer("outputs", torch.zeros(num_train, code_length))
        self.register_buffer("labels", torch.zeros(num_train, num_classes))

    def fill(self, outputs: Tensor, labels: Tensor) -> None:
        """Take the whole training set: (n, K) and (n, C)."""
        self.outputs.copy_(outputs)
        self.labels.copy_(labels)

    def put(self, indices: Tensor, outputs: Tensor, labels: Tensor) -> None:
        """Take a batch: (b,) positions in the training set, (b, K), (b, C)."""
        self.outputs[indices] = outputs.detach().to(self.outputs.dtype)
        self.labels[indices] = labels.to(self.labels.dtype)

    @property
    def dtype(self) -> torch.dtype:
        """Precision that losses against the bank are computed in."""
        return self.outputs.dtype
