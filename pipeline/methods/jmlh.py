"""``jmlh``: just maximising the likelihood hashing (Shen et al., ICCV workshops 2019)."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.methods import Method
from pipeline.methods.shared.classes import Classification
from pipeline.runtime.ranges import NonNegative, PositiveInt


class JMLH(Method):
    """A classifier on random codes whose bits are +1 with the probabilities that the outputs give.

    A variational information bottleneck: with p_ik = sigmoid(2 u_ik), so that tanh(u) is the mean of a bit, codes b are
    drawn from q(b|x), bit by bit, and

        L = - E_q log p(y | b) + rate sum_k KL(Bernoulli(p_ik) || Bernoulli(1/2))

    averaged over images. p(y | b) is the softmax of a linear layer with bias if every training image has exactly one
    label, else a sigmoid for each class. One code is drawn for each image. The gradient passes the draw as if it was
    tanh(u) (straight through). The second term, the rate of the bottleneck, is the own term here; a quantizer that
    replaces the own term therefore removes the bottleneck.

    The paper (arXiv 1908.09573) was not available in full. The source is the authors' later code
    (https://github.com/ymcidence/TBH, model/jmlh.py, layer/binary_activation.py and train/jmlh_train.py at 778dd1c).

    Deviations: (1) the code's bits are 0 or 1, with p = sigmoid(x). Here they are -1 or +1 and x = 2u, so that relaxed
    codes are tanh(u) as in the other methods. This is the same model with another scale of outputs and classifier. (2)
    The code sets a bit where p > 1/2, in training too. Here bits are drawn, because the likelihood above is an
    expectation over q(b|x). (3) The code has the softmax alone. The sigmoid for several labels is assumed.

    Args:
        rate: lambda, weight of the own term; 0.2 in the authors' code.
    """

    def __init__(
        self,
        *,
        code_length: PositiveInt,
        num_classes: PositiveInt,
        num_train: PositiveInt,
        rate: NonNegative = 0.2,
    ) -> None:
        super().__init__(code_length=code_length, num_classes=num_classes, num_train=num_train)
        self.rate = rate
        self.classifier = nn.Linear(code_length, num_classes)
        self.classification = Classification()

    def similarity_loss(self, u: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        mean = self.relax(u.to(self.classifier.weight.dtype))
        logits = self.classifier(_Drawn.apply(mean, self._noise(mean)))
        loss: Tensor = self.classification(logits, labels)
        return loss

    def quantization_loss(self, u: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        # KL = log 2 - H(p), and H(p) = log(1 + exp x) - x sigmoid(x) with x = 2u or -2u.
        x = 2 * u.to(self.classifier.weight.dtype).abs()
        entropy = functional.softplus(x) - x * x.sigmoid()
        return self.rate * (math.log(2) - entropy).sum(dim=1).mean()

    def prime(self, u: Tensor, labels: Tensor) -> None:
        self.classification.prime(labels)

    @staticmethod
    def _noise(mean: Tensor) -> Tensor:
        """Uniform numbers in [-1, 1) of the same shape, from torch's global generator, which each cell seeds."""
        return 2 * torch.rand_like(mean) - 1


class _Drawn(torch.autograd.Function):
    """+1 where the mean exceeds the noise, else -1; the backward pass is the identity."""

    @staticmethod
    def forward(ctx: Any, mean: Tensor, noise: Tensor) -> Tensor:
        return torch.where(mean > noise, 1.0, -1.0).to(mean.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None
