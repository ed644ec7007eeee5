"""The pairwise likelihood of a block of pairs in machine code (Numba; compiled once and cached next to this file).

One pass computes the cost and the gradient's coefficient from a single exponential. The exponential and the logarithm
are polynomials, because the compiler vectorises a loop only if it calls no function.
"""

from typing import Any

import numpy as np
from numba import njit
from numba.core import types
from numba.extending import intrinsic

_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)
# 2^-126 is the smallest normal number. Beyond this exponent 1 + 2^-y is 1, so y need not be exact.
_LARGEST = np.float32(126)
_LOG2_E, _LN_2 = np.float32(1.4426950408889634), 0.6931471805599453
# 2^-r for |r| <= 1/2, at Chebyshev nodes; the relative error is below 2e-7.
_E0, _E1, _E2, _E3, _E4, _E5 = np.array(
    [1.0000001192092896, -0.6931471824645996, 0.2402210682630539, -0.055503569543361664, 0.009676031768321991,
     -0.0013390863314270973], np.float32
)  # fmt: skip
# log2(1 + e) / e for 0 <= e <= 1, at Chebyshev nodes; the relative error is below 1.5e-6, with both signs.
_L0, _L1, _L2, _L3, _L4, _L5, _L6 = np.array(
    [1.4426929950714111, -0.7211440801620483, 0.47749635577201843, -0.3383772075176239, 0.213943213224411,
     -0.09462680667638779, 0.02001664973795414], np.float32
)  # fmt: skip


@intrinsic
def _power_of_two(typing_context: Any, exponent: Any) -> Any:
    """2^n as float32 for an int32 n from -126 to 127, by writing n into the exponent's bits."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        n = arguments[0]
        bits = builder.shl(builder.add(n, n.type(127)), n.type(23))
        return builder.bitcast(bits, context.get_value_type(types.float32))

    return types.float32(types.int32), generate


@intrinsic
def _with_sign(typing_context: Any, x: Any, y: Any) -> Any:
    """x if y is positive, -x if y is negative; both float32."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        integer = context.get_value_type(types.int32)
        x, y = (builder.bitcast(value, integer) for value in arguments)
        changed = builder.xor(x, builder.and_(y, integer(-(2**31))))
        return builder.bitcast(changed, context.get_value_type(types.float32))

    return types.float32(types.float32, types.float32), generate


# A sum's terms may be added in any order, or the loop is not vectorised. Infinity and NaN keep their meaning.
@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz", "arcp"})
def cost_and_coefficients(psi, weights, sets, margin):  # type: ignore[no-untyped-def]
    """Replace psi by the derivative of the cost with respect to psi; return the cost.

    The formula is that of ``shared.pairs._cost_and_coefficients``. With z = margin +- psi and e = exp(-|z|), log(1 +
    exp z) is max(z, 0) + log(1 + e), and sigmoid(z) is 1 / (1 + e), or e / (1 + e) if z < 0. Both are computed to
    base 2.

    Args:
        psi: (m, b) float32, overwritten.
        weights: (G, b) float32.
        sets: (m,) int64, the row of ``weights`` for each row of ``psi``.
        margin: a float32 number.

    Returns:
        A float64 number. Each row is summed in float32, the rows in float64.
    """
    total, margin = 0.0, margin * _LOG2_E
    for j in range(psi.shape[0]):
        row, weight = psi[j], weights[sets[j]]
        part = _ZERO
        for i in range(len(row)):
            w = weight[i]
            z = _with_sign(row[i], w) * _LOG2_E + margin
            y = min(abs(z), _LARGEST)
            n = np.int32(y + _HALF)
            r = y - np.float32(n)
            e = (((((_E5 * r + _E4) * r + _E3) * r + _E2) * r + _E1) * r + _E0) * _power_of_two(np.int32(-n))
            log = (((((_L6 * e + _L5) * e + _L4) * e + _L3) * e + _L2) * e + _L1) * e + _L0
            part += abs(w) * (max(z, _ZERO) + e * log)
            row[i] = (w if z >= _ZERO else e * w) / (_ONE + e)
        total += np.float64(part)
    return _LN_2 * total
