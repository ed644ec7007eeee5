"""Classification of images that may have several labels."""

from torch import Tensor
from torch.nn import functional


def log_likelihood(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean log softmax of an image's classes, sum_c (y_c / |Y|) log softmax(logits)_c; 0 without a label.

    Args:
        logits: (b, C).
        labels: (b, C) multi-hot, in the precision of ``logits``.

    Returns:
        (b,), not positive.
    """
    of_class = functional.log_softmax(logits, dim=1)
    return (labels * of_class).sum(dim=1) / labels.sum(dim=1).clamp(min=1)


def one_label_each(labels: Tensor) -> bool:
    """Whether every image of labels (n, C) has exactly one."""
    return bool((labels.sum(dim=1) == 1).all())


def cross_entropy(logits: Tensor, labels: Tensor, *, single: bool) -> Tensor:
    """Softmax cross-entropy if all images have one label, else the sum over classes of sigmoid cross-entropies.

    Args:
        logits: (b, C).
        labels: (b, C) multi-hot, in the precision of ``logits``.
        single: whether every image of the training set has exactly one label, see ``one_label_each``.

    Returns:
        the mean over images, a 0-dim tensor.
    """
    if single:
        return functional.cross_entropy(logits, labels)
    per_class = functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    return per_class.sum(dim=1).mean()
