"""``mdsh``: deep hashing with minimal-distance-separated hash centers (Wang et al., CVPR 2023)."""

import torch
from torch import Tensor
from torch.nn import functional

from pipeline.methods import Method, direction
from pipeline.methods.shared.bank import Bank
from pipeline.methods.shared.centers import separated_centers
from pipeline.methods.shared.pairs import balance_weights, likelihood, weighted
from pipeline.runtime.ranges import NonNegative, NonNegativeInt, PositiveInt, Seed


class MDSH(Method):
    """Cross-entropy of cosines with the classes' hash centers, and a pull between similar images.

    With centers o_c in {-1, +1}^K, p_ic = softmax_c(sqrt(K) cos(u_i, o_c)) and an image's classes Y_i, the first loss
    is the mean over images and classes of

        - [c in Y_i] log p_ic - [c not in Y_i] log(1 - p_ic)

    From the epoch ``pairs_from`` on, the mean over similar pairs of log(1 + exp((1 - cos(u_i, u_j)) / 2)) is added,
    times ``pairs``. The method's own term is quantization * mean_i mean_k (|u_ik| - 1)^2.

    The source is the authors' code (https://github.com/Wangld5/Center-Hashing), whose weights are the defaults; the
    paper's text was not available. Deviations: (1) the authors maximise the smallest distance of centers by alternating
    optimisation with a bound of Gilbert and Varshamov; here a descent flips bits (``separated_centers``). With 100
    classes and 48 bits the closest two are then 20 bits apart, and 18 without it. (2) The authors compare a batch with
    stored outputs of a slowly moving copy of the network; here the stored outputs are the network's own. (3) Pairs are
    added from the second epoch on; the authors' studies have hundreds of epochs, and add them after the ninth. (4) In
    the authors' network a batch normalization with scale and shift, then a tanh, follow the last layer, and both losses
    read its outputs in (-1, 1). Here they read the raw outputs, as do the quantizers that replace the own term, and
    cosines of raw outputs have a gradient where a tanh is saturated. On digits (16 bits, 5 seeds) the mean average
    precision is 0.966 with raw outputs and 0.965 with both layers.

    Args:
        pairs: beta, weight of the similar pairs.
        pairs_from: first epoch, counted from 0, that compares pairs.
        quantization: lambda, weight of the own term.
        center_seed: seed of sampled centers; the same for all training seeds.
    """

    centers: Tensor

    def __init__(
        self,
        *,
        code_length: PositiveInt,
        num_classes: PositiveInt,
        num_train: PositiveInt,
        pairs: NonNegative = 1.0,
        pairs_from: NonNegativeInt = 1,
        quantization: NonNegative = 0.0001,
        center_seed: Seed = 0,
    ) -> None:
        super().__init__(code_length=code_length, num_classes=num_classes, num_train=num_train)
        self.pairs, self.pairs_from, self.quantization = pairs, pairs_from, quantization
        self.compares = pairs_from == 0
        self.bank = Bank(num_train, code_length, num_classes)
        centers = torch.as_tensor(separated_centers(num_classes, code_length, center_seed), dtype=torch.float32)
        self.register_buffer("centers", centers)

    def similarity_loss(self, u: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        unit, labels = direction(u), labels.to(self.bank.dtype)
        self.bank.put(indices, unit)
        # The cosine with a center is unit @ center / sqrt(K).
        log_p = functional.log_softmax(unit @ self.centers.T, dim=1)
        # Below -1e-6, so that log(1 - p) is finite.
        log_others = (-log_p.clamp(max=-1e-6).expm1()).log()
        loss = -(labels * log_p + (1 - labels) * log_others).mean()
        return loss + self.pairs * self._pairs(unit, labels) if self.compares else loss

    def quantization_loss(self, u: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        return self.quantization * (u.to(self.bank.dtype).abs() - 1).square().mean()

    def prime(self, u: Tensor, labels: Tensor) -> None:
        self.bank.fill(direction(u), labels)

    def start_epoch(self, epoch: int) -> None:
        self.compares = epoch >= self.pairs_from

    def _pairs(self, unit: Tensor, labels: Tensor) -> Tensor:
        sets = self.bank.sets
        alike = sets.shared(labels)
        for_similar, _ = balance_weights(alike, sets.sizes)
        weights = weighted(alike, for_similar, torch.zeros_like(for_similar))
        return likelihood(unit / 2, self.bank.outputs, weights, sets.of, 0.5)
