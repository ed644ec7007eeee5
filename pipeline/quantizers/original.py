"""``original``: the method as published, with its own quantization term and nothing else."""

import torch
from torch import Tensor

from pipeline.quantizers import Quantizer, check_shape
from pipeline.runtime.ranges import Positive


class Original(Quantizer):
    """Adds no term. This is the baseline that every other quantizer is compared with.

    Args:
        own_weight: factor of the method's own quantization term, which already includes the method's own weight; 1 is
            as published. Tuning the baseline varies this factor, which has the same name for all methods.
    """

    def __init__(self, *, own_weight: Positive = 1.0) -> None:
        super().__init__()
        self.own_weight = own_weight

    def forward(self, u: Tensor, *, targets: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
        check_shape(u)
        return u.new_zeros(())
