"""The pairwise likelihood, and weights that balance similar and dissimilar pairs."""

from torch import Tensor
from torch.nn import functional


def pairwise_cost(psi: Tensor, alike: Tensor) -> Tensor:
    """Negative log-likelihood of each pair's similarity, log(1 + exp psi_ij) - s_ij psi_ij.

    The model is P(s_ij = 1) = sigmoid(psi_ij) (Li et al. 2016, DPSH, eq. 2).

    Args:
        psi: (b, n), larger for more similar codes.
        alike: (b, n), s_ij in {0, 1} or bool.

    Returns:
        (b, n), one cost per pair, not summed.
    """
    return functional.softplus(psi) - alike * psi


def balance_weights(alike: Tensor) -> tuple[Tensor, Tensor]:
    """|S| / |S1| and |S| / |S0|: weights that give similar and dissimilar pairs the same total.

    Args:
        alike: (b, n), not 0 where a pair is similar.

    Returns:
        two 0-dim tensors. A kind that doesn't occur has the weight |S|, which applies to no pair.
    """
    total, positives = alike.numel(), (alike > 0).sum()
    return total / positives.clamp(min=1), total / (total - positives).clamp(min=1)
