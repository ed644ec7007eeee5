"""``none``: the similarity loss alone; what a method reaches without any quantization term."""

import torch
from torch import Tensor

from pipeline.quantizers import Quantizer, check_shape


class NoQuantizer(Quantizer):
    """Adds nothing and drops the method's own term too; the other end of every ablation."""

    def forward(self, u: Tensor, *, targets: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
        check_shape(u)
        return u.new_zeros(())
