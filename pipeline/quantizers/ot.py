"""``ot``: exact optimal transport to uniform binary codes, the distance that WR and SWD both stand in for."""

from typing import Literal

import torch
from torch import Tensor

from pipeline.assignment import optimal_pairing
from pipeline.quantizers import Quantizer, uniform_targets
from pipeline.runtime.ranges import Positive


class OT(Quantizer):
    """Squared Wasserstein-2 distance of a batch of outputs to as many uniform binary codes, solved exactly.

        1/b min_P 1/K |U - P A|^2

    Targets A are drawn uniformly from {-1, +1}^K (eq. 2 of the WR paper). P is the permutation of equation 4
    of that paper. The cost itself is the loss; it is the distance that the HSWD paper slices. ``wr`` uses the
    same pairing with another loss: this one is smallest if outputs equal their targets, while -tr(P A U^T)
    pulls outputs beyond their targets. The term replaces the method's own quantization term. The pairing
    carries no gradient. Units: squared, per image and per bit.

    Deviation: neither paper trains with this loss. With K in the tens, a batch can't cover {-1, +1}^K, so even
    a sample of uniform codes has a cost well above 0. Only differences between batches are meaningful.

    Args:
        weight: factor in the total loss.
        input: ``raw`` outputs or ``relaxed`` codes.
    """

    def __init__(self, *, weight: Positive = 0.1, input: Literal["relaxed", "raw"] = "raw") -> None:
        super().__init__()
        self.weight, self.input = weight, input

    def forward(self, u: Tensor, *, targets: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
        u = u.to(torch.promote_types(u.dtype, torch.float32))
        drawn = uniform_targets(u, targets, generator)
        return (u - drawn[optimal_pairing(u, drawn)]).square().mean()
