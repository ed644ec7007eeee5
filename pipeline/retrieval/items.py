"""Codes and labels packed for comparing: XOR and a bit count give a distance, AND gives the relevance."""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pipeline.codes import pack, pack_labels
from pipeline.runtime.errors import UserError

Words: TypeAlias = npt.NDArray[np.uint64]


@dataclass(frozen=True, eq=False)
class Items:
    """Codes and labels of n items as 64-bit words, word-major: codes (words, n), labels (words, n)."""

    codes: Words
    labels: Words
    size: int
    code_length: int
    num_classes: int


def items(codes: npt.NDArray[Any], labels: npt.NDArray[Any], side: str) -> Items:
    """Check and pack the codes and labels of one side, "query" or "database".

    Args:
        codes: (n, K) of -1/+1 or bool.
        labels: (n, C) multi-hot.
        side: The side; error messages name ``{side}_codes`` and ``{side}_labels``.

    Returns:
        The packed items, at least one.

    Raises:
        UserError: A shape or a value is wrong, the row counts differ, or there are no rows.
    """
    codes, labels = np.asarray(codes), np.asarray(labels)
    packed_codes = pack(codes, argument=f"{side}_codes")
    packed_labels = pack_labels(labels, argument=f"{side}_labels")
    if len(codes) == 0:
        raise UserError(f"{side}_codes: expected at least one row, found shape {codes.shape}")
    if len(codes) != len(labels):
        raise UserError(f"{side}_labels: expected {len(codes)} rows, like {side}_codes, found {len(labels)}")
    return Items(_words(packed_codes), _words(packed_labels), len(codes), codes.shape[1], labels.shape[1])


def _words(packed: npt.NDArray[np.uint8]) -> Words:
    rows, width = packed.shape
    if width % 8:
        padded = np.zeros((rows, -(-width // 8) * 8), np.uint8)
        padded[:, :width] = packed
        packed = padded
    return np.ascontiguousarray(packed.view(np.uint64).T)
