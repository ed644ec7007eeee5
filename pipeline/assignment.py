"""Exact optimal pairing of codes and targets."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pipeline.runtime.errors import Diverged, UserError

Array = npt.NDArray[Any]

#: Number of codes from which computing prices saves more time than it takes.
_PRICED = 128
#: Temperatures at which prices are computed, in standard deviations of a code's gains.
_TEMPERATURES = (0.2, 0.05, 0.0125)
_ROUNDS = 4


@torch.no_grad()
def optimal_pairing(u: Tensor, targets: Tensor) -> Tensor:
    """Pair every code with one target so that the sum of squared distances is smallest.

    The sum of squared norms is the same for all pairings, so the best pairing maximises the sum over pairs of
    u_i . a_j: min_P 1/2 |U - P A|^2 = min_P -tr(P A U^T) + const. This is equation 4 of the WR paper, solved exactly
    (``scipy.optimize.linear_sum_assignment``, shortest augmenting paths). If several pairings are equally good, the
    same input always gives the same one.

    On CUDA, the host waits for the device once, to copy the matrix of u_i . a_j.

    Args:
        u: (b, K) codes or outputs.
        targets: (b, K) targets, such as -1/+1.

    Returns:
        (b,) int64 on the device of ``u``: row i of ``u`` is paired with ``targets[result[i]]``. No gradient.

    Raises:
        UserError: shapes that differ.
        Diverged: a value that isn't finite.

    Examples:
        >>> import torch
        >>> u = torch.tensor([[0.9, 0.8], [-0.7, -0.9]])
        >>> optimal_pairing(u, torch.tensor([[-1.0, -1.0], [1.0, 1.0]]))
        tensor([1, 0])
    """
    if u.shape != targets.shape or u.ndim != 2:
        raise UserError(f"u and targets must both be (b, K); found {tuple(u.shape)} and {tuple(targets.shape)}")
    # The matrix is computed on the device of u. Only the matrix is copied to the host; checking it there needs no
    # second wait for the device.
    gains = _to_host(u.float() @ targets.float().T)
    if not np.isfinite(gains).all():
        raise Diverged(
            "u and targets must be finite: the network's outputs have overflowed or are NaN; "
            "lower training.optimizer.learning_rate or the quantizer's weight"
        )
    return _to_device(best_assignment(gains), u.device)


def best_assignment(gains: Array) -> npt.NDArray[np.int64]:
    """Solve an assignment problem exactly: choose one column for each row so that the sum of gains is largest.

    A price is subtracted from the gains of each column. Every assignment uses each column once, so prices don't change
    which assignment is best. With good prices, few rows prefer the same column, and the solver's paths are short.

    Args:
        gains: (b, b) float32, finite.

    Returns:
        (b,) the column of each row, each column once.
    """
    from scipy.optimize import linear_sum_assignment

    if len(gains) < _PRICED:
        costs = -gains
    else:
        # In double precision, as in the solver: single precision would round differences away.
        costs = _prices(gains) - gains.astype(np.float64)
        costs -= costs.min(axis=1, keepdims=True)
        costs -= costs.min(axis=0)
    return np.asarray(linear_sum_assignment(costs)[1], dtype=np.int64)


def _prices(gains: Array) -> npt.NDArray[np.float64]:
    """(b,) prices at which about one row prefers each column.

    Each row distributes a weight of 1 over the columns by a softmax at some temperature. The price of a column rises if
    its weights add up to more than 1. These are Sinkhorn's iterations (Cuturi, NIPS 2013), a few at each of a few
    falling temperatures.

    Uses NumPy without BLAS: at these sizes, the threads of BLAS and torch wait for each other longer than they compute,
    especially if several cells train at once.
    """
    b = len(gains)
    spread = max(float(np.sqrt(gains.var(axis=1, dtype=np.float64).mean())), 1e-30)
    # In units of the spread, so that the scale of u doesn't matter. Values that overflow to -inf get almost no weight;
    # they are clipped below.
    with np.errstate(over="ignore"):
        relative = (gains - gains.max(axis=1, keepdims=True)) / spread
    prices = np.zeros(b)
    for temperature in _TEMPERATURES:
        wishes = relative - prices.astype(gains.dtype)
        wishes -= wishes.max(axis=1, keepdims=True)
        wishes /= temperature
        # At least e^-40, so that no sum underflows.
        np.exp(np.maximum(wishes, -40, out=wishes), out=wishes)
        columns = np.ones(b, gains.dtype)
        for _ in range(_ROUNDS):
            rows = 1 / np.einsum("ij,j->i", wishes, columns)
            columns = 1 / np.einsum("ij,i->j", wishes, rows)
        prices -= temperature * np.log(columns)
    return spread * prices


def _to_host(matrix: Tensor) -> Array:
    """Copy to NumPy. From CUDA, copy through pinned memory and wait only for this copy, not for the whole device."""
    if matrix.device.type != "cuda":
        return np.asarray(matrix.cpu().numpy())
    pinned = torch.empty(matrix.shape, dtype=matrix.dtype, pin_memory=True)
    pinned.copy_(matrix, non_blocking=True)
    torch.cuda.current_stream(matrix.device).record_event().synchronize()
    return np.asarray(pinned.numpy())


def _to_device(columns: npt.NDArray[np.int64], device: torch.device) -> Tensor:
    """Copy to the device; to CUDA from pinned memory, so that the host doesn't wait."""
    tensor = torch.from_numpy(columns)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)
