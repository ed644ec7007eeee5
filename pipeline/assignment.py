"""Exact optimal pairing of codes and targets."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pipeline.runtime.errors import Diverged, UserError

Array = npt.NDArray[Any]

#: Codes from which on finding prices takes less time than it saves.
_PRICED = 128
#: Temperatures that prices are found at, in standard deviations of what one code gains by the targets.
_TEMPERATURES = (0.2, 0.05, 0.0125)
_ROUNDS = 4


@torch.no_grad()
def optimal_pairing(u: Tensor, targets: Tensor) -> Tensor:
    """Pair every code with one target so that the sum of squared distances is smallest.

    A pairing doesn't change the sum of squared norms, so the sum over pairs of u_i . a_j is what is left to
    maximise: min_P 1/2 |U - P A|^2 = min_P -tr(P A U^T) + const, equation 4 of the WR paper, solved exactly
    (``scipy.optimize.linear_sum_assignment``, shortest augmenting paths). Of several equally good pairings, the same
    input gives the same one.

    On CUDA the host waits for the device once, for a copy of u_i . a_j.

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
    # The matrix is made where u lives, and only it crosses to the host, where looking at it costs no second wait.
    gains = _to_host(u.float() @ targets.float().T)
    if not np.isfinite(gains).all():
        raise Diverged(
            "u and targets must be finite: the network's outputs have overflowed or are NaN; "
            "lower training.optimizer.learning_rate or the quantizer's weight"
        )
    return _to_device(best_assignment(gains), u.device)


def best_assignment(gains: Array) -> npt.NDArray[np.int64]:
    """(b,) column of each row of a square matrix, no column twice, with the largest sum; exact.

    A price on a column is paid once in every assignment, so prices don't change which one is best. With good prices few
    rows want the same column, and the solver's paths get short.

    Args:
        gains: (b, b) float32, finite.
    """
    from scipy.optimize import linear_sum_assignment

    if len(gains) < _PRICED:
        costs = -gains
    else:
        # In double precision, which the solver computes in: single would round differences away.
        costs = _prices(gains) - gains.astype(np.float64)
        costs -= costs.min(axis=1, keepdims=True)
        costs -= costs.min(axis=0)
    return np.asarray(linear_sum_assignment(costs)[1], dtype=np.int64)


def _prices(gains: Array) -> npt.NDArray[np.float64]:
    """(b,) prices at which each column is wanted by about one row.

    Rows spread their wish over columns by a softmax at some temperature, and prices rise where wishes add up to
    more than one: Sinkhorn's iterations (Cuturi, NIPS 2013), a few at each of a few falling temperatures.

    NumPy without BLAS: at these sizes its threads, and torch's, wait for each other longer than they compute, most
    of all where several cells train at once.
    """
    b = len(gains)
    spread = max(float(np.sqrt(gains.var(axis=1, dtype=np.float64).mean())), 1e-30)
    # In units of the spread, whatever the scale of u. What overflows here is wished by nobody, and is cut off below.
    with np.errstate(over="ignore"):
        relative = (gains - gains.max(axis=1, keepdims=True)) / spread
    prices = np.zeros(b)
    for temperature in _TEMPERATURES:
        wishes = relative - prices.astype(gains.dtype)
        wishes -= wishes.max(axis=1, keepdims=True)
        wishes /= temperature
        # No smaller than e^-40, so that no sum underflows.
        np.exp(np.maximum(wishes, -40, out=wishes), out=wishes)
        columns = np.ones(b, gains.dtype)
        for _ in range(_ROUNDS):
            rows = 1 / np.einsum("ij,j->i", wishes, columns)
            columns = 1 / np.einsum("ij,i->j", wishes, rows)
        prices -= temperature * np.log(columns)
    return spread * prices


def _to_host(matrix: Tensor) -> Array:
    """A copy for NumPy; from CUDA through pinned memory, waiting for this copy and not for all that the device does."""
    if matrix.device.type != "cuda":
        return np.asarray(matrix.cpu().numpy())
    pinned = torch.empty(matrix.shape, dtype=matrix.dtype, pin_memory=True)
    pinned.copy_(matrix, non_blocking=True)
    torch.cuda.current_stream(matrix.device).record_event().synchronize()
    return np.asarray(pinned.numpy())


def _to_device(columns: npt.NDArray[np.int64], device: torch.device) -> Tensor:
    """From pinned memory to CUDA, so that the host goes on."""
    tensor = torch.from_numpy(columns)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)
