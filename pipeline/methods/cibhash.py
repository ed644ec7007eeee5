"""``cibhash``: contrastive hashing with an information bottleneck, without labels (Qiu et al., IJCAI 2021)."""

import torch
from torch import Tensor
from torch.nn import functional

from pipeline.methods import Method, exact, sign
from pipeline.runtime.ranges import NonNegative, Positive, PositiveInt


class CIBHash(Method):
    """Codes of two views of an image are more alike than codes of two images; views have similar probabilities.

    With p = sigmoid(u) and codes b = sgn(u), whose gradient passes the sign to p (straight through), the loss for b
    images with two views each is

        1/2b sum_i - log( exp(cos(b_i, b_i') / tau) / sum_{j != i} exp(cos(b_i, b_j) / tau) )
        + bottleneck 1/2b sum_i KL(Bernoulli(p_i) || Bernoulli(p_i'))

    where i and j run over all 2b views, and i' is the other view of i's image. KL is summed over bits, and its second
    argument has no gradient, as in the authors' code (https://github.com/zexuanqiu/CIBHash). No label is read. The
    paper has no quantization term: the codes are binary during training. So the own term is zero, and ``original``
    equals ``none``.

    Args:
        temperature: tau; 0.3 in the authors' code.
        bottleneck: beta, weight of the divergence; 0.001 in the authors' code.
    """

    supervision = "nothing"
    views = 2

    def __init__(
        self,
        *,
        code_length: PositiveInt,
        num_classes: PositiveInt,
        num_train: PositiveInt,
        temperature: Positive = 0.3,
        bottleneck: NonNegative = 0.001,
    ) -> None:
        super().__init__(code_length=code_length, num_classes=num_classes, num_train=num_train)
        self.temperature, self.bottleneck = temperature, bottleneck

    def similarity_loss(self, u: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        u = exact(u)
        p = u.sigmoid()
        code = functional.normalize(sign(u.detach()) + (p - p.detach()), dim=1)
        cosines = code @ code.T
        count = len(u)
        itself = torch.eye(count, dtype=torch.bool, device=u.device)
        logits = (cosines / self.temperature).masked_fill(itself, -torch.inf)
        partner = torch.arange(count, device=u.device).roll(count // 2)
        contrast = functional.cross_entropy(logits, partner)
        return contrast + self.bottleneck * _divergence(u, u.detach().roll(count // 2, dims=0))


def _divergence(u: Tensor, v: Tensor) -> Tensor:
    """KL of bits with the probabilities sigmoid(u) and sigmoid(v), summed over bits, mean over images."""
    log = functional.logsigmoid
    cost: Tensor = u.sigmoid() * (log(u) - log(v)) + (-u).sigmoid() * (log(-u) - log(-v))
    return cost.sum(dim=1).mean()
