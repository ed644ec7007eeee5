"""``lsh``: locality-sensitive hashing by random projections (Charikar, STOC 2002); a baseline without training."""

import torch
from torch import Tensor

from pipeline.methods import Method


class LSH(Method):
    """Bits are the signs of K random projections of the centred features.

        u = W (x - mean),   w_kd from the standard normal distribution

    With such projections the probability that two codes differ in a bit is the angle of the two vectors over pi
    (section 3). The mean is that of the training images, so that a direction splits them into halves approximately.

    Deviation: Charikar's vectors are not centred. Without it, features that are never negative (after a ReLU) would
    have small angles, and many bits would be equal for most images. The comparison by Gong and Lazebnik (CVPR 2011)
    centres them too.
    """

    training_free = True

    def solve(self, features: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        shape = (self.code_length, features.shape[1])
        weight = torch.randn(shape, generator=generator, dtype=torch.float64)
        return weight, -weight @ features.mean(dim=0)
