"""The contrastive loss of a batch's pairs, for ``dsh`` and ``dshsd``."""

from torch import Tensor

from pipeline.methods import off_diagonal, similar


def contrast(codes: Tensor, labels: Tensor, margin: float) -> Tensor:
    """Mean over pairs i != j of d_ij / 2 for similar and max(margin - d_ij, 0) / 2 for other pairs.

    d_ij = |codes_i - codes_j|^2 / K. A batch without pairs has the loss 0.

    Args:
        codes: (b, K), float32 at least.
        labels: (b, C) multi-hot.
        margin: squared distance per bit that dissimilar images keep.

    Returns:
        A 0-dim tensor.
    """
    squares = codes.square().sum(dim=1)
    distance = (squares[:, None] + squares - 2 * (codes @ codes.T)).clamp(min=0) / codes.shape[1]
    alike = similar(labels, labels).to(distance.dtype)
    cost = off_diagonal(alike * distance + (1 - alike) * (margin - distance).clamp(min=0))
    b = len(codes)
    return cost.sum() / (2 * max(1, b * (b - 1)))
