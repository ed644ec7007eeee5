"""Discrete cyclic coordinate descent, for codes that a method solves between epochs."""

import torch
from torch import Tensor

from pipeline.methods import sign


@torch.no_grad()
def descend(codes: Tensor, target: Tensor, interaction: Tensor) -> None:
    """Set each bit of all codes in turn to its exact optimum, in place (Shen et al. 2015, SDH, section 2.3).

    Minimises tr(B M B^T) - 2 tr(B T^T) over B in {-1, +1}^(n x K), one column at a time.

    Args:
        codes: B, (n, K), the start of the descent; overwritten.
        target: T, (n, K).
        interaction: M, (K, K), symmetric, with a diagonal of 0.
    """
    for bit in range(codes.shape[1]):
        codes[:, bit] = sign(target[:, bit] - codes @ interaction[:, bit])
