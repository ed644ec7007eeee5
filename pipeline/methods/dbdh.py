"""``dbdh``: deep balanced discrete hashing (Zheng, Zhang & Lu, Neurocomputing 2020)."""

from typing import Literal

from torch import Tensor

from pipeline.methods import Method, sign
from pipeline.methods.shared.bank import Bank
from pipeline.methods.shared.pairs import balance_weights, likelihood, signed, weighted
from pipeline.runtime.ranges import NonNegative, Positive, PositiveInt


class DBDH(Method):
    """Pairwise likelihood of balanced codes that are binary already during training.

    With b_i = sign(u_i) in {-1, +1}^K the loss is

        - mean_ij w_ij (s_ij psi_ij - log(1 + exp psi_ij))        psi_ij = slope / K b_i . b_j
        + alpha mean_i |1/K sum_k b_ik|^p

    where j runs over a bank of the latest codes of the whole training set. The sign has no useful derivative,
    so a straight-through estimator is used: db/du is the derivative of the clipped identity, 1 for |u| < 1 and
    0 beyond. This keeps the outputs from growing without limit. The relaxed code is the clipped identity,
    clamp(u, -1, 1).

    The second term is the paper's balance control: a code has as many +1 as -1 bits. It takes the place of
    the quantization term of other methods, because binary codes have no quantization error. A quantizer that
    replaces the quantization term replaces this term, as in the HSWD paper, whose targets are balanced too.

    Assumptions, because the paper's equations were not available: (1) balance is taken over the bits of one
    code, with p = 1 or 2, as in public implementations and in SSDH (Yang et al. 2015), not over the images of
    one bit. (2) The derivative is cut at |u| = 1. (3) Both terms are means, so alpha is independent of n and K.

    Deviations, so that discrete codes learn within few steps. (If all codes are equal, all images have the
    same gradient, and all codes flip together forever.) (1) ``pairs: balanced`` gives similar and dissimilar
    pairs half of the weight each, w_ij = 1/2 |S| / |S1| or 1/2 |S| / |S0|, counted in the (b, n) block.
    ``plain`` is w = 1, as in the usual likelihood. (2) psi has the same range at every K; the usual
    b_i . b_j / 2 is ``slope`` = K / 2. (3) The bank starts from the signs of centered outputs, since an
    untrained network gives all images almost the same code. Public implementations use clamp(u) for b, never
    signs; here b is discrete, as the abstract says.

    Args:
        alpha: weight of the balance term.
        power: p.
        slope: psi of two equal codes.
        pairs: how similar and dissimilar pairs are weighted.
    """

    def __init__(
        self,
        *,
        code_length: PositiveInt,
        num_classes: PositiveInt,
        num_train: PositiveInt,
        alpha: NonNegative = 0.1,
        power: PositiveInt = 2,
        slope: Positive = 4.0,
        pairs: Literal["balanced", "plain"] = "balanced",
    ) -> None:
        super().__init__(code_length=code_length, num_classes=num_classes, num_train=num_train)
        self.alpha, self.power, self.slope, self.pairs = alpha, power, slope, pairs
        self.bank = Bank(num_train, code_length, num_classes)

    def relax(self, u: Tensor) -> Tensor:
        return u.clamp(-1, 1)

    def similarity_loss(self, u: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        codes, labels = self._binary(u), labels.to(self.bank.dtype)
        self.bank.put(indices, codes)
        sets = self.bank.sets
        weights = self._weights(sets.shared(labels))
        return likelihood(self.slope / self.code_length * codes, self.bank.outputs, weights, sets.of)

    def quantization_loss(self, u: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        return self.alpha * self._binary(u).mean(dim=1).abs().pow(self.power).mean()

    def prime(self, u: Tensor, labels: Tensor) -> None:
        self.bank.fill(sign(u - u.mean(dim=0)), labels)

    def _binary(self, u: Tensor) -> Tensor:
        """sign(u) in the bank's precision, with the gradient of the clipped identity."""
        clipped = self.relax(u.to(self.bank.dtype))
        # Subtracting first keeps the values exact: x + (b - x) may differ from b in the last digit.
        return sign(clipped.detach()) + (clipped - clipped.detach())

    def _weights(self, alike: Tensor) -> Tensor:
        """w_ij, signed, (G, b); if no pair is similar (or dissimilar), the others keep their half."""
        if self.pairs == "plain":
            return signed(alike)
        for_similar, for_dissimilar = balance_weights(alike, self.bank.sets.sizes)
        return weighted(alike, for_similar / 2, for_dissimilar / 2)
