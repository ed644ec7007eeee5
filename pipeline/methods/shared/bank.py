"""What is stored of the whole training set: the label sets that occur, and a bank of outputs."""

import torch
from torch import Tensor, nn


class LabelSets(nn.Module):
    """The labels of all training images, as the G distinct label sets that occur and the set of each image.

    A pair's similarity depends only on its two label sets. So a batch of b images is compared with G sets instead of
    n images. G is the number of classes if every image has one label. It is never more than n.

    Attributes:
        labels: (G, C) multi-hot, one row per set.
        sizes: (G,) number of images with this set, in the precision of ``labels``.
        of: (n,) int64, the set of each image.
    """

    labels: Tensor
    sizes: Tensor
    of: Tensor

    def __init__(self, num_train: int, num_classes: int) -> None:
        super().__init__()
        # Until ``find`` is called, no image has a label.
        self.register_buffer("labels", torch.zeros(1, num_classes))
        self.register_buffer("sizes", torch.full((1,), float(num_train)))
        self.register_buffer("of", torch.zeros(num_train, dtype=torch.int64))

    def find(self, labels: Tensor) -> None:
        """Set all attributes, from the labels (n, C) of the whole training set."""
        labels = labels.to(self.labels)
        self.labels, self.of, sizes = torch.unique(labels, dim=0, return_inverse=True, return_counts=True)
        self.sizes = sizes.to(self.labels.dtype)

    def shared(self, labels: Tensor) -> Tensor:
        """(G, b): how many labels each set shares with each image of a batch, of labels (b, C)."""
        return self.labels @ labels.T

    def of_images(self) -> Tensor:
        """(n, C) multi-hot labels of all images."""
        return self.labels[self.of]


class Bank(nn.Module):
    """The latest outputs and the labels of all training images, so that a batch can be compared with all images.

    Outputs are up to one epoch old and carry no gradient. They are buffers, so they move to the method's device.

    Attributes:
        outputs: (n, K); raw outputs or codes, depending on the method.
        sets: the labels.
    """

    outputs: Tensor

    def __init__(self, num_train: int, code_length: int, num_classes: int) -> None:
        super().__init__()
        self.register_buffer("outputs", torch.zeros(num_train, code_length))
        self.sets = LabelSets(num_train, num_classes)

    def fill(self, outputs: Tensor, labels: Tensor) -> None:
        """Set all entries, from outputs (n, K) and labels (n, C) of the whole training set."""
        self.outputs.copy_(outputs)
        self.sets.find(labels)

    def put(self, indices: Tensor, outputs: Tensor) -> None:
        """Set a batch's outputs (b, K); ``indices`` (b,) are its positions in the training set."""
        self.outputs[indices] = outputs.detach().to(self.outputs.dtype)

    @property
    def labels(self) -> Tensor:
        """(n, C) multi-hot labels of all images."""
        return self.sets.of_images()

    @property
    def dtype(self) -> torch.dtype:
        """The precision of losses that use the bank."""
        return self.outputs.dtype
