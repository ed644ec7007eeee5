"""``hswd``: per-coordinate Wasserstein quantization (the HSWD paper, CVPR 2022; suffix -C in its tables)."""

from typing import Literal

import torch
from torch import Tensor

from pipeline.quantizers import Quantizer, uniform_targets
from pipeline.runtime.ranges import Positive


class HSWD(Quantizer):
    """Squared sliced Wasserstein-2 distance with the K coordinate axes as directions.

        1/K sum_k 1/b sum_i (sort(U)_ik - sort(B)_ik)^2

    This is equation 1 of the supplement (Theorem 1) before the root. For each bit, the sorted outputs of the
    batch are matched with as many sorted uniform signs. The term replaces the method's own quantization term.
    Units: squared, per image and per bit.

    Args:
        weight: factor in the total loss.
        input: ``raw`` outputs (as published) or ``relaxed`` codes.
    """

    def __init__(self, *, weight: Positive = 0.1, input: Literal["relaxed", "raw"] = "raw") -> None:
        super().__init__()
        self.weight, self.input = weight, input

    def forward(self, u: Tensor, *, targets: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
        drawn = uniform_targets(u, targets, generator)
        return (u.sort(dim=0).values - drawn.sort(dim=0).values).square().mean()
