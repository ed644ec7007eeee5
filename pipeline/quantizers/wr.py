"""``wr``: Wasserstein regularization by optimal pairing (the WR paper, IJCAI 2022)."""

from typing import Literal

import torch
from torch import Tensor

from pipeline.assignment import optimal_pairing
from pipeline.quantizers import Quantizer, uniform_targets
from pipeline.runtime.ranges import Positive


class WR(Quantizer):
    """Pulls every relaxed code to the random target that it is paired with.

    For each batch, targets A are drawn uniformly from {-1, +1}^K (eq. 2) and paired exactly with the codes Y
    (eq. 4). The loss is -tr(P A Y^T) (eq. 7). The pairing itself carries no gradient. The term is added to the
    method's loss, and the method's own quantization term stays.

    Units: the negative inner product of a code with its target, per image and per bit, so in [-1, 1] for relaxed
    codes. It is -1 if every code equals its target. Deviation: eq. 7 sums over the batch; here the sum is
    divided by b * K, so ``weight`` means the same at every batch size and code length.

    Args:
        weight: beta; the paper tunes it over 0.1, 0.2, ..., 1.0 on validation data.
        own_weight: factor of the method's own quantization term; 1 is as published.
        input: ``relaxed`` codes (as published) or ``raw`` outputs.
    """

    def __init__(
        self, *, weight: Positive = 0.1, own_weight: Positive = 1.0, input: Literal["relaxed", "raw"] = "relaxed"
    ) -> None:
        super().__init__()
        self.weight, self.own_weight, self.input = weight, own_weight, input

    def forward(self, u: Tensor, *, targets: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
        drawn = uniform_targets(u, targets, generator)
        paired = drawn[optimal_pairing(u, drawn)]
        return -(u * paired).mean()
