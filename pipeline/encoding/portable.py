"""Operations on the CPU by NumPy instead of torch's MKL, for ``compute.numerics: portable``.

MKL has no AVX2 code that is the same on CPUs of Intel and of others. Its only common code, ``MKL_CBWR=COMPATIBLE``, is
for SSE2. Two operations don't do with it:

- Matrix products: 44 instead of 100 GFLOP/s for (256 x 1280) (1280 x 1024) on one core. OpenBLAS runs the code of the
  core that it is told, at 122 GFLOP/s there.
- The square root: it starts from the CPU's approximation (``rsqrtps``), which Intel and AMD define differently. 13% of
  values differ in the last digit. NumPy's is correctly rounded.
"""

from functools import cache

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor


@cache
def by_numpy(threads: int) -> None:
    """Compute matrix products and square roots of this process's CPU tensors by NumPy, in ``threads`` threads.

    ``mm`` and ``addmm`` are what linear layers, ``@`` of matrices and their gradients come down to.
    """
    threadpool_limits(threads, user_api="blas")
    _register()


@cache
def _register() -> None:
    library = torch.library.Library("aten", "IMPL")  # type: ignore[no-untyped-call]
    for name, function in (("mm", _product), ("addmm", _product_and_sum), ("sqrt", _root), ("sqrt_", _root_in_place)):
        library.impl(name, function, "CPU", allow_override=True)  # type: ignore[no-untyped-call]
    _KEPT.append(library)  # it ends with the object


_KEPT: list[torch.library.Library] = []


def _product(a: Tensor, b: Tensor) -> Tensor:
    if a.dtype in (torch.float32, torch.float64):
        return torch.from_numpy(a.detach().numpy() @ b.detach().numpy())
    return _product(a.double(), b.double()).to(a.dtype)  # no part of a study with portable numerics


def _product_and_sum(c: Tensor, a: Tensor, b: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    product = _product(a, b)
    return torch.add(c if beta == 1 else beta * c, product, alpha=alpha)


def _root(values: Tensor) -> Tensor:
    if values.dtype not in (torch.float32, torch.float64):
        return _root(values.float()).to(values.dtype if values.is_floating_point() else torch.float32)
    with np.errstate(invalid="ignore"):  # as torch: the root of a negative number is NaN
        return torch.from_numpy(np.asarray(np.sqrt(values.detach().numpy())))


def _root_in_place(values: Tensor) -> Tensor:
    return values.copy_(_root(values))
