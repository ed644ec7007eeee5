"""Classification of images that may have several labels, for ``dshsd``, ``greedyhash`` and ``jmlh``."""

from torch import Tensor, nn
from torch.nn import functional


class Classification(nn.Module):
    """Softmax cross-entropy if every image has exactly one label, else the sum over classes of sigmoid cross-entropies.

    ``prime`` decides it for the whole training set. Without it, each batch is checked instead.
    """

    def __init__(self) -> None:
        super().__init__()
        self.single_label: bool | None = None

    def prime(self, labels: Tensor) -> None:
        """Decide by the labels (n, C) of the training set."""
        self.single_label = _one_label_each(labels)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The mean over images, a 0-dim tensor, of logits (b, C) and multi-hot labels (b, C)."""
        labels = labels.to(logits.dtype)
        if _one_label_each(labels) if self.single_label is None else self.single_label:
            return functional.cross_entropy(logits, labels)
        per_class = functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")
        return per_class.sum(dim=1).mean()


def _one_label_each(labels: Tensor) -> bool:
    return bool((labels.sum(dim=1) == 1).all())
