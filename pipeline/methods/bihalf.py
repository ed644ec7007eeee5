"""``bihalf``: codes with maximum bit entropy, without labels (Li & van Gemert, AAAI 2021)."""

import torch
from torch import Tensor
from torch.nn import functional

from pipeline.methods import Method, direction, exact, off_diagonal
from pipeline.runtime.ranges import NonNegative, PositiveInt


class BiHalf(Method):
    """The cosines of codes are those of the images' features; half of a batch has +1 in each bit.

    For each bit, the larger half of the batch's outputs becomes +1 and the smaller half -1: the codes B that are
    closest to the outputs U among those whose bits have maximum entropy. The loss is

        mean_{i != j} (cos(b_i, b_j) - cos(x_i, x_j))^2

    with the features x of a frozen backbone. Its gradient with respect to B is passed on to U. The layer's backward
    pass adds gamma (U - B) / (b K), which is the gradient of the own term here:

        gamma / 2 mean_i mean_k (u_ik - b_ik)^2

    So a quantizer that replaces the own term replaces this one. No label is read. New images get the signs of their
    outputs.

    The source is the authors' code (https://github.com/liyunqianggyn/Deep-Unsupervised-Image-Hashing); the paper's text
    was not available. Deviation: the code takes b/2 pairs of a batch; all are taken here.

    Args:
        gamma: weight of the own term; 6 in the authors' code.
    """

    supervision = "features"

    def __init__(
        self,
        *,
        code_length: PositiveInt,
        num_classes: PositiveInt,
        num_train: PositiveInt,
        gamma: NonNegative = 6.0,
    ) -> None:
        super().__init__(code_length=code_length, num_classes=num_classes, num_train=num_train)
        self.gamma = gamma

    def similarity_loss(self, u: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        u = exact(u)
        code = functional.normalize(halves(u.detach()) + (u - u.detach()), dim=1)
        features = direction(labels.to(u.dtype))
        difference = off_diagonal(code @ code.T - features @ features.T)
        count = len(u)
        return difference.square().sum() / max(1, count * (count - 1))

    def quantization_loss(self, u: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        u = exact(u)
        return self.gamma / 2 * (u - halves(u.detach())).square().mean()


def halves(u: Tensor) -> Tensor:
    """-1/+1 codes (b, K): in each column, +1 for the b/2 largest outputs (rounded down), -1 for the others."""
    count = len(u)
    larger = torch.arange(count, device=u.device) < count // 2
    values = torch.where(larger, 1.0, -1.0).to(u.dtype)[:, None].expand_as(u)
    order = u.argsort(dim=0, descending=True, stable=True)
    return torch.empty_like(u).scatter_(0, order, values)
