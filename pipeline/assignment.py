"""Exact optimal pairing of codes and targets."""

import numpy as np
import torch
from torch import Tensor

from pipeline.runtime.errors import UserError


@torch.no_grad()
def optimal_pairing(u: Tensor, targets: Tensor) -> Tensor:
    """Pair every code with one target so that the sum of squared distances is smallest.

    A pairing doesn't change the sum of squared norms, so the sum over pairs of u_i . a_j is what is left to
    maximise: min_P 1/2 |U - P A|^2 = min_P -tr(P A U^T) + const, equation 4 of the WR paper, solved exactly
    (``scipy.optimize.linear_sum_assignment``, shortest augmenting paths).

    Args:
        u: (b, K) codes or outputs.
        targets: (b, K) targets, such as -1/+1.

    Returns:
        (b,) int64 on the device of ``u``: row i of ``u`` is paired with ``targets[result[i]]``. No gradient.

    Raises:
        UserError: shapes that differ, or a value that isn't finite.
    """
    from scipy.optimize import linear_sum_assignment

    if u.shape != targets.shape or u.ndim != 2:
        raise UserError(f"u and targets must both be (b, K); found {tuple(u.shape)} and {tuple(targets.shape)}")
    # The matrix is made where u lives, and only it crosses to the host.
    cost = -(u.float() @ targets.float().T)
    if not torch.isfinite(cost).all():
        raise UserError(
            "u and targets must be finite: the network's outputs have overflowed or are NaN; "
            "lower training.optimizer.learning_rate or the quantizer's weight"
        )
    _, columns = linear_sum_assignment(cost.cpu().numpy())
    return torch.from_numpy(np.asarray(columns, dtype=np.int64)).to(u.device)
