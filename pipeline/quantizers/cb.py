"""``cb``: classical code balance (Weiss, Torralba & Fergus, NIPS 2008; "+CB" in Figure 1 of the WR paper)."""

from typing import Literal

import torch
from torch import Tensor

from pipeline.quantizers import Quantizer, check_shape
from pipeline.runtime.ranges import Positive


class CB(Quantizer):
    """Penalises unbalanced bits and correlated pairs of bits in a batch of codes H (section 3 of the WR paper).

        1/K |1/b sum_i h_i|^2  +  1/K^2 |1/b H^T H - I|_F^2

    The first term is 0 if each bit is +1 as often as -1. The second is 0 if every two bits agree as often as
    they disagree and each |h_ik| is 1. Both are 0 for the rows of a Hadamard matrix and of its negative. The
    sum is added to the method's loss, and the method's own quantization term stays.

    Units: squared; the first is a mean over the K bits, the second over the K x K pairs of bits, so
    ``weight`` means the same at every code length.

    Deviation: section 3 states both as conditions on the whole training set, which hold exactly or not at all.
    Here they are penalties on a batch. If the batch has fewer than K images, the second can't reach 0.

    Args:
        weight: factor in the total loss.
        own_weight: factor of the method's own quantization term.
        input: ``relaxed`` codes or ``raw`` outputs.
    """

    def __init__(
        self, *, weight: Positive = 0.1, own_weight: Positive = 1.0, input: Literal["relaxed", "raw"] = "relaxed"
    ) -> None:
        super().__init__()
        self.weight, self.own_weight, self.input = weight, own_weight, input

    def forward(self, u: Tensor, *, targets: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
        """As in ``Quantizer``. Nothing is drawn, so ``targets`` and ``generator`` are ignored."""
        check_shape(u)
        h = u.to(torch.promote_types(u.dtype, torch.float32))
        correlation = h.T @ h / len(h)
        identity = torch.eye(h.shape[1], dtype=h.dtype, device=h.device)
        return h.mean(dim=0).square().mean() + (correlation - identity).square().mean()
