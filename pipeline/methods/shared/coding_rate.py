"""How many different codes a batch has, for ``crovca`` and ``hashcoder``."""

import torch
from torch import Tensor

from pipeline.methods import direction

#: The distortion of the coding rate.
EPSILON = 0.05


def coding_rate(u: Tensor) -> Tensor:
    """The coding rate of outputs scaled to length 1 (Yu et al. 2020; CroVCA, Algorithm 1).

    With V (b, K) of rows of length 1, ((b + K) / (2 b K)) logdet(I + K / (b epsilon) V^T V). It grows with the number
    of directions that a batch has, and is smallest if all are the same.

    Args:
        u: (b, K).

    Returns:
        A 0-dim tensor.
    """
    b, bits = u.shape
    v = direction(u)
    matrix = torch.eye(bits, dtype=u.dtype, device=u.device) + bits / (b * EPSILON) * v.T @ v
    # It is positive definite; the plain function would wait for a GPU to say so.
    factor, _ = torch.linalg.cholesky_ex(matrix)
    half_logdet: Tensor = factor.diagonal().log().sum()
    return (b + bits) / (b * bits) * half_logdet
