"""Matrix products on the CPU by NumPy's OpenBLAS instead of torch's MKL, for ``compute.numerics: portable``.

MKL has no AVX2 code that is the same on CPUs of Intel and of others. Its only common code, ``MKL_CBWR=COMPATIBLE``, is
for SSE2: 44 instead of 100 GFLOP/s for (256 x 1280) (1280 x 1024) on one core. OpenBLAS runs the code of the core that
it is told, at 122 GFLOP/s there.
"""

from functools import cache

import torch
from threadpoolctl import threadpool_limits
from torch import Tensor


@cache
def by_openblas(threads: int) -> None:
    """Compute all matrix products of this process's CPU tensors by OpenBLAS, in ``threads`` threads.

    ``mm`` and ``addmm`` are what linear layers, ``@`` of matrices and their gradients come down to.
    """
    threadpool_limits(threads, user_api="blas")
    _register()


@cache
def _register() -> None:
    library = torch.library.Library("aten", "IMPL")  # type: ignore[no-untyped-call]
    for name, function in (("mm", _product), ("addmm", _product_and_sum)):
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
