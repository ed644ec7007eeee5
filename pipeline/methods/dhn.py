"""``dhn``: deep hashing network (Zhu, Long, Wang & Cao, AAAI 2016)."""

import torch
from torch import Tensor

from pipeline.methods import Method, exact
from pipeline.methods.shared.pairs import likelihood, signed
from pipeline.runtime.ranges import NonNegative, PositiveInt


class DHN(Method):
    """Pairwise cross-entropy on the inner product of codes, and a smooth pull of every bit to -1 or +1.

    With h = tanh(u), theta_ij = h_i . h_j / 2 and P(s_ij = 1) = sigmoid(theta_ij), the pairwise
    cross-entropy is

        sum_ij log(1 + exp theta_ij) - s_ij theta_ij

    The method's own term comes from a bimodal Laplacian prior whose absolute value is smoothed by log cosh:

        quantization * sum_i sum_k log cosh(|h_ik| - 1)

    Both sums are means here. The first is over pairs i != j of the batch, the second over images and bits. So
    the weight means the same at every batch size and code length.

    Deviations: the factor 1/2 in theta is from the authors' code (and DPSH); the paper uses the inner product
    itself. A batch without pairs has the loss 0.

    Args:
        quantization: lambda, weight of the own term.
    """

    def __init__(
        self,
        *,
        code_length: PositiveInt,
        num_classes: PositiveInt,
        num_train: PositiveInt,
        quantization: NonNegative = 1.0,
    ) -> None:
        super().__init__(code_length=code_length, num_classes=num_classes, num_train=num_train)
        self.quantization = quantization

    def similarity_loss(self, u: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        code = self.relax(exact(u))
        labels = labels.to(code.dtype)
        # The mean is over all b^2 pairs, b of which are an image with itself and count for nothing.
        weights = signed(labels @ labels.T).fill_diagonal_(0) * (len(u) / max(1, len(u) - 1))
        return likelihood(code / 2, code, weights, torch.arange(len(u), device=u.device))

    def quantization_loss(self, u: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        return self.quantization * (self.relax(exact(u)).abs() - 1).cosh().log().mean()
