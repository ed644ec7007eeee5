"""Binary codes and multi-hot labels: signs of real numbers, and packing into bits and unpacking."""

import operator
from collections.abc import Callable
from typing import Any, SupportsIndex, cast

import numpy as np
import numpy.typing as npt

from pipeline.runtime.errors import UserError

# Values checked and packed at a time, so that temporary arrays take only a few megabytes.
_VALUES_AT_ONCE = 1 << 22


def sign(u: npt.NDArray[Any]) -> npt.NDArray[np.int8]:
    """The sign of each value, with sign(0) = +1, so that every value gives a bit.

    Args:
        u: Real numbers, any shape; an empty array gives an empty array.

    Returns:
        An int8 array of -1 and +1, of the shape of ``u``. (numpy's own ``sign`` gives 0 for 0.)

    Raises:
        UserError: ``u`` holds NaN, or is not an array of integers or floats.

    Examples:
        >>> import numpy as np
        >>> sign(np.array([[-0.2, 0.0, 1.5]]))
        array([[-1,  1,  1]], dtype=int8)
    """
    u = np.asarray(u)
    if u.dtype.kind not in "iuf":
        raise UserError(f"u: expected integers or floats, found dtype {u.dtype}")
    if u.dtype.kind == "f" and np.isnan(u).any():
        raise UserError("u: expected numbers, found NaN, which has no sign")
    return np.where(u >= 0, np.int8(1), np.int8(-1))


def pack(codes: npt.NDArray[Any], *, argument: str = "codes") -> npt.NDArray[np.uint8]:
    """Pack codes into bits, eight per byte.

    Args:
        codes: (n, K) of -1/+1, or of bool (True is +1), K at least 1. n may be 0.
        argument: The name of ``codes`` in error messages.

    Returns:
        (n, ceil(K / 8)) uint8. The first bit of a code is the highest bit of its first byte (numpy's
        ``packbits`` in its default order); the bits that fill the last byte are 0.

    Raises:
        UserError: ``codes`` does not have two dimensions, has no bits, or holds another value.

    Examples:
        >>> import numpy as np
        >>> pack(np.array([[1, -1, -1, 1, -1, -1, -1, -1, 1]]))
        array([[144, 128]], dtype=uint8)
    """
    return _pack(_table(codes, argument, "bits"), argument, "-1/+1 or bool", _wrong_codes)


def unpack(packed: npt.NDArray[np.uint8], code_length: int) -> npt.NDArray[np.int8]:
    """Unpack codes that ``pack`` packed.

    Args:
        packed: (n, ceil(code_length / 8)) uint8. n may be 0.
        code_length: K, the number of bits of a code, at least 1.

    Returns:
        (n, K) int8 of -1 and +1.

    Raises:
        UserError: ``packed`` is not what ``pack`` gives for codes of this length.

    Examples:
        >>> import numpy as np
        >>> unpack(np.array([[144]], dtype=np.uint8), code_length=4)
        array([[ 1, -1, -1,  1]], dtype=int8)
    """
    codes = _unpack(packed, positive_integer(code_length, "code_length"), "code_length").view(np.int8)
    codes *= 2
    codes -= 1
    return codes


def pack_labels(labels: npt.NDArray[Any], *, argument: str = "labels") -> npt.NDArray[np.uint8]:
    """Pack multi-hot labels into bits, eight per byte, in the order of ``pack``.

    Args:
        labels: (n, C) of 0/1 (integers or floats) or bool, C at least 1. n may be 0; a row may be all 0.
        argument: The name of ``labels`` in error messages.

    Returns:
        (n, ceil(C / 8)) uint8.

    Raises:
        UserError: ``labels`` does not have two dimensions, has no classes, or holds another value.

    Examples:
        >>> import numpy as np
        >>> pack_labels(np.array([[1, 0, 1], [0, 0, 0]]))
        array([[160],
               [  0]], dtype=uint8)
    """
    return _pack(_table(labels, argument, "classes"), argument, "0/1 or bool", _wrong_labels)


def unpack_labels(packed: npt.NDArray[np.uint8], num_classes: int) -> npt.NDArray[np.uint8]:
    """Unpack labels that ``pack_labels`` packed.

    Args:
        packed: (n, ceil(num_classes / 8)) uint8. n may be 0.
        num_classes: C, the number of classes, at least 1.

    Returns:
        (n, C) uint8 of 0 and 1.

    Raises:
        UserError: ``packed`` is not what ``pack_labels`` gives for this number of classes.

    Examples:
        >>> import numpy as np
        >>> unpack_labels(np.array([[160]], dtype=np.uint8), num_classes=3)
        array([[1, 0, 1]], dtype=uint8)
    """
    return _unpack(packed, positive_integer(num_classes, "num_classes"), "num_classes")


def positive_integer(value: object, argument: str) -> int:
    """Check that ``value`` is a positive integer.

    Args:
        value: The value to check.
        argument: The name of the value in the error message.

    Returns:
        The value as an int.

    Raises:
        UserError: The value is not an integer (a bool is not one), or it is below 1.
    """
    try:
        number = operator.index(cast(SupportsIndex, value))
    except TypeError:
        number = 0
    if number < 1 or isinstance(value, bool):
        raise UserError(f"{argument}: expected a positive integer, found {value!r}")
    return number


def _table(values: npt.NDArray[Any], argument: str, columns: str) -> npt.NDArray[Any]:
    """``values`` as an array with two dimensions and at least one column."""
    values = np.asarray(values)
    if values.ndim != 2:
        raise UserError(f"{argument}: expected two dimensions (items, {columns}), found shape {values.shape}")
    if values.shape[1] == 0:
        raise UserError(f"{argument}: expected at least one of {columns}, found shape {values.shape}")
    return values


def _wrong_codes(values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    return np.asarray((values != 1) & (values != -1))


def _wrong_labels(values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    return np.asarray((values != 1) & (values != 0))


def _pack(
    values: npt.NDArray[Any],
    argument: str,
    expected: str,
    wrong: Callable[[npt.NDArray[Any]], npt.NDArray[np.bool_]],
) -> npt.NDArray[np.uint8]:
    if values.dtype.kind not in "biuf":
        raise UserError(f"{argument}: expected {expected}, found dtype {values.dtype}")
    rows, columns = values.shape
    packed = np.empty((rows, -(-columns // 8)), np.uint8)
    step = max(1, _VALUES_AT_ONCE // columns)
    for start in range(0, rows, step):
        block = values[start : start + step]
        if block.dtype != np.bool_:
            mask = wrong(block)
            if mask.any():
                raise UserError(f"{argument}: expected {expected}, found {block[mask][0]}")
        packed[start : start + step] = np.packbits(block > 0, axis=1)
    return packed


def _unpack(packed: npt.NDArray[np.uint8], columns: int, argument: str) -> npt.NDArray[np.uint8]:
    packed = np.asarray(packed)
    width = -(-columns // 8)
    if packed.dtype != np.uint8 or packed.ndim != 2 or packed.shape[1] != width:
        raise UserError(
            f"packed: expected uint8 of shape (items, {width}) for {argument} {columns}, "
            f"found {packed.dtype} of shape {packed.shape}"
        )
    # Ones past the end mean that the bits were packed for another length.
    if columns % 8 and (packed[:, -1] & (0xFF >> columns % 8)).any():
        raise UserError(f"packed: expected zeros past bit {columns} ({argument}), found ones")
    return np.unpackbits(packed, axis=1, count=columns)
