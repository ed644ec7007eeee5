"""``dch``: deep Cauchy hashing (Cao, Long, Liu & Wang, CVPR 2018)."""

import torch
from torch import Tensor

from pipeline.methods import Method, direction, exact, similar
from pipeline.runtime.ranges import NonNegative, Positive, PositiveInt

#: The smallest distance, in bits, that the loss distinguishes. log(1 + gamma / d) must stay finite for two
#: equal codes, and smaller distances are rounding noise of a cosine in float32.
CLOSEST = 1e-4


class DCH(Method):
    """The probability that two images are similar falls with their distance like a Cauchy distribution.

    With h = tanh(u) and the distance d(h_i, h_j) = K/2 (1 - cos(h_i, h_j)) (in bits, exact for binary
    codes), two images are similar with probability gamma / (gamma + d). The weighted cross-entropy (eq. 8)
    is

        sum_ij w_ij (s_ij log(d_ij / gamma) + log(1 + gamma / d_ij))

    with w_ij = |S| / |S1| for similar and |S| / |S0| for dissimilar pairs, where S1 and S0 are the similar and
    the dissimilar pairs. For similar pairs the bracket equals log(1 + d / gamma). It is computed in this form,
    which is 0 at d = 0. For dissimilar pairs it is log(1 + gamma / d). The method's own term (eq. 9) uses the
    same distribution around the nearest binary code:

        quantization * sum_i log(1 + d(|h_i|, 1) / gamma)

    Both sums are means here. The first is over pairs i != j of the batch, and equals the similar pairs' mean
    plus the dissimilar pairs' mean (or only the mean of the kind that occurs). The second is over images.

    Deviations: d is at least ``CLOSEST``, so equal codes of dissimilar images have a finite loss and no
    gradient. A batch without pairs has the loss 0.

    Args:
        gamma: scale of the distribution, in bits: the distance at which similar and dissimilar are equally likely.
        quantization: lambda, weight of the own term.
    """

    def __init__(
        self,
        *,
        code_length: PositiveInt,
        num_classes: PositiveInt,
        num_train: PositiveInt,
        gamma: Positive = 5.0,
        quantization: NonNegative = 0.1,
    ) -> None:
        super().__init__(code_length=code_length, num_classes=num_classes, num_train=num_train)
        self.gamma, self.quantization = gamma, quantization

    def similarity_loss(self, u: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        code = self._direction(u)
        distance = self.code_length / 2 * (1 - code @ code.T)
        distance = distance.clamp(min=CLOSEST)
        alike = similar(labels, labels) > 0
        cost = torch.where(alike, (distance / self.gamma).log1p(), (self.gamma / distance).log1p())
        others = ~torch.eye(len(u), dtype=torch.bool, device=u.device)
        return _mean(cost, alike & others) + _mean(cost, ~alike & others)

    def quantization_loss(self, u: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        cosine = self._direction(u).abs().sum(dim=1) / self.code_length**0.5
        distance: Tensor = self.code_length / 2 * (1 - cosine)
        return self.quantization * (distance / self.gamma).log1p().mean()

    def _direction(self, u: Tensor) -> Tensor:
        """Relaxed codes scaled to length 1, in float32 at least."""
        return direction(self.relax(exact(u)))


def _mean(cost: Tensor, chosen: Tensor) -> Tensor:
    """Mean over the chosen pairs; 0 if none is chosen."""
    return torch.where(chosen, cost, 0).sum() / chosen.sum().clamp(min=1)
