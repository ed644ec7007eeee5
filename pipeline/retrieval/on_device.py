"""Counting on a CUDA device (or any that torch has): distances and shared labels as matrix products."""

import numpy as np
import numpy.typing as npt
import torch

from pipeline.retrieval.items import Items, Words

# Pairs compared at a time: what limits the device's memory, at about 20 bytes each.
_PAIRS_AT_ONCE = 1 << 26


@torch.no_grad()
def count(queries: Items, database: Items, device: str) -> npt.NDArray[np.int64]:
    """(queries, K + 1, 2) counts of the items that are not relevant and of those that are.

    float16 products of -1/+1 are exact up to 2,048 bits, and labels only have to differ from 0.
    """
    dtype = torch.float32 if torch.device(device).type == "cpu" else torch.float16
    bits, classes, width = database.code_length, database.num_classes, 2 * (database.code_length + 1)
    codes = 1 - 2 * _unpacked(database.codes, bits, device, dtype)
    labels = _unpacked(database.labels, classes, device, dtype)
    counts = torch.zeros(queries.size, width, dtype=torch.int64, device=device)
    step = max(1, _PAIRS_AT_ONCE // database.size)
    for start in range(0, queries.size, step):
        rows = slice(start, start + step)
        inner = (1 - 2 * _unpacked(queries.codes[:, rows], bits, device, dtype)) @ codes.T
        relevant = _unpacked(queries.labels[:, rows], classes, device, dtype) @ labels.T > 0
        # bits - inner is twice the distance.
        bins = (bits - inner).to(torch.int64) + relevant
        bins += width * torch.arange(len(bins), device=device)[:, None]
        counts[rows] = torch.bincount(bins.flatten(), minlength=len(bins) * width).view(-1, width)
    return counts.view(queries.size, -1, 2).cpu().numpy()


def _unpacked(words: Words, columns: int, device: str, dtype: torch.dtype) -> torch.Tensor:
    """Bits of word-major words as (n, columns) of 0 and 1 on the device; only the words cross to it."""
    packed = torch.from_numpy(np.ascontiguousarray(words.T).view(np.uint8)).to(device)
    shifts = torch.arange(7, -1, -1, dtype=torch.uint8, device=device)
    bits = packed[:, :, None].bitwise_right_shift(shifts).bitwise_and(1)
    return bits.flatten(1)[:, :columns].to(dtype)
