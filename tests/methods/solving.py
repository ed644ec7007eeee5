"""Training features for methods without training, and what the methods make of them."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline import methods

N, D, K = 300, 12, 6


def features(seed: int = 0) -> Tensor:
    """(N, D) float64, correlated, far from the origin and of unequal variance."""
    random = np.random.Generator(np.random.PCG64(seed))
    drawn = random.normal(size=(N, D)) * np.linspace(3, 0.5, D) @ random.normal(size=(D, D))
    return torch.from_numpy(drawn + random.normal(size=D) * 10)


def solved(name: str, seed: int = 0, bits: int = K, **own: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Weight, bias and outputs for ``features``."""
    method = methods.create(name, code_length=bits, num_classes=3, num_train=N, **own)
    weight, bias = method.solve(features(), torch.Generator().manual_seed(seed))
    return weight, bias, features() @ weight.T + bias
