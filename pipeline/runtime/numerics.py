"""``compute.numerics``: the same kernels on every x86-64 CPU, so that results are the same bytes.

Libraries choose their kernels by the CPU's instructions. Kernels sum in different orders, and training amplifies the
rounding. So the libraries are limited to AVX2 with FMA, which CPUs have since 2013, by environment variables that they
read when they are imported.
"""

import os
import platform
from pathlib import Path
from typing import Any

from pipeline.runtime.yaml12 import NotYaml, parse

#: What limits each library.
PORTABLE = {
    "ATEN_CPU_CAPABILITY": "avx2",  # torch's own kernels
    "ONEDNN_MAX_CPU_ISA": "AVX2",  # torch's convolutions
    "MKL_CBWR": "COMPATIBLE",  # torch's matrix products and LAPACK
    "OPENBLAS_CORETYPE": "Haswell",  # the matrix products and LAPACK of NumPy and SciPy
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",  # NumPy's own kernels
    "NUMBA_CPU_NAME": "haswell",  # what Numba compiles for
    "NUMBA_CPU_FEATURES": "",  # those of that CPU
}


def apply(params: Path = Path("params.yaml")) -> None:
    """Set the environment as ``compute.numerics`` of a params file asks; call it before torch and NumPy are imported.

    Nothing is set for ``native``, for bfloat16 (whose instructions not every CPU has), or on a CPU without AVX2. A
    file that can't be read counts as ``portable``: whatever reads it next reports the mistake.
    """
    if _has_avx2() and _asked(params):
        os.environ.update(PORTABLE)


def applied() -> bool:
    """Whether the environment limits all libraries."""
    return all(os.environ.get(name) == value for name, value in PORTABLE.items())


def _has_avx2(listed: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the CPU has AVX2 and FMA; assumed of an x86-64 CPU on systems that have no list."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return False
    try:
        words = set(listed.read_text(encoding="utf-8").split())
    except OSError:  # not Linux
        return True
    return {"avx2", "fma"} <= words


def _asked(params: Path) -> bool:
    try:
        compute: Any = parse(params.read_text(encoding="utf-8"))["compute"]
        return bool(compute["numerics"] != "native" and compute["precision"] != "bfloat16")
    except (OSError, NotYaml, UnicodeDecodeError, KeyError, TypeError):
        return True
