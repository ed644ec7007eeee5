"""``dpah``: deep position-aware hashing (Wang, Wang, Qiao, Shan & Chen, WACV 2020), reconstructed."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.methods import Method
from pipeline.runtime.ranges import NonNegative, Positive, PositiveInt, Seed

# Keeps the kurtosis finite for a bit that is the same in all images.
_EPSILON = 1e-6


class DPAH(Method):
    """Compares images with learned class centers; a kurtosis loss makes the distribution of each bit two-peaked.

    This is a reconstruction: no code is public, and neither the paper's text nor its equations were available.
    The following is known from the WR paper's description and from memory of the abstract. Class centers are
    model parameters, proxies for the position of a class in Hamming space. The distance of an image to its
    own centers is compared with the distance to the others. A "KT loss" on the kurtosis of the outputs makes
    their distribution two-peaked.

    Assumed: relaxed codes h = tanh(u), centers m_c = tanh(parameter), and distances d_ic = |h_i - m_c|^2 / 4,
    which for binary vectors is the Hamming distance. The loss of an image with classes Y_i is the mean over c
    in Y_i of the cross-entropy of class c against all classes that the image doesn't have,

        1/|Y_i| sum_{c in Y_i} log(1 + sum_{n not in Y_i} exp(scale (d_ic - d_in) / K))

    so the classes of an image don't compete with each other. For one label this is the softmax over
    -scale d / K. The own quantization term is, with mean and variance over the batch,

        kurtosis * mean_k (E[(h_k - E h_k)^4] - Var[h_k]^2) / (Var[h_k]^2 + 1e-6)

    This is the kurtosis minus 1. 1 is the smallest possible kurtosis, and only a distribution with two equally
    high peaks has it (peaks of probability p and 1 - p have the kurtosis 1/(p (1 - p)) - 3). The term is 0 for a
    batch of one. Units: the first term is a mean over images, the second a mean over bits.

    Args:
        scale: steepness of the softmax; logits differ by ``scale`` between a code and its complement.
        kurtosis: weight of the own term.
        spread: standard deviation of the centers' initial parameters, before tanh.
        center_seed: seed of the initial centers; the same for all training seeds.
    """

    def __init__(
        self,
        *,
        code_length: PositiveInt,
        num_classes: PositiveInt,
        num_train: PositiveInt,
        scale: Positive = 20.0,
        kurtosis: NonNegative = 0.01,
        spread: Positive = 1.0,
        center_seed: Seed = 0,
    ) -> None:
        super().__init__(code_length=code_length, num_classes=num_classes, num_train=num_train)
        self.scale, self.kurtosis = scale, kurtosis
        generator = torch.Generator().manual_seed(center_seed)
        self.centers = nn.Parameter(spread * torch.randn(num_classes, code_length, generator=generator))

    def similarity_loss(self, u: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        own = labels.to(self.centers.dtype)
        logits = self._logits(u)
        # A very low number instead of -inf: an image may have all classes, and logsumexp of -inf has no gradient.
        others = logits.masked_fill(own > 0, torch.finfo(logits.dtype).min / 2).logsumexp(dim=1, keepdim=True)
        pulls = (own * functional.softplus(others - logits)).sum(dim=1)
        return (pulls / own.sum(dim=1).clamp(min=1)).mean()

    def quantization_loss(self, u: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        h = self.relax(u.to(self.centers.dtype))
        squares = (h - h.mean(dim=0)).square()
        variance_squared = squares.mean(dim=0).square()
        excess = squares.square().mean(dim=0) - variance_squared
        return self.kurtosis * (excess / (variance_squared + _EPSILON)).mean()

    def _logits(self, u: Tensor) -> Tensor:
        """- scale d_ic / K, (b, C), up to a constant that is the same for all classes of an image."""
        h, centers = self.relax(u.to(self.centers.dtype)), self.relax(self.centers)
        return self.scale / self.code_length * (h @ centers.T / 2 - centers.square().sum(dim=1) / 4)
