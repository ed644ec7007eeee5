"""Counting items by Hamming distance, block by block.

A block of queries against a block of the database is all that is ever compared at once. Codes and labels are
held as 64-bit words: XOR and a bit count give the distance, AND gives the relevance. (Measured with numpy 2.4
at 64 bits and 10 classes, this takes the time of a float32 matrix product on two cores, and it needs one core
and an eighth of a byte for a bit.)
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pipeline.codes import pack, pack_labels
from pipeline.runtime.errors import UserError

Words: TypeAlias = npt.NDArray[np.uint64]
Counts: TypeAlias = npt.NDArray[np.int64]

# Comparing 16 x 16,384 items needs a few megabytes, about what a core's cache holds.
_QUERY_ROWS = 16
_DATABASE_ROWS = 16384


@dataclass(frozen=True, eq=False)
class Items:
    """Codes and labels of n items as 64-bit words, word-major: codes (words, n), labels (words, n)."""

    codes: Words
    labels: Words
    size: int
    code_length: int
    num_classes: int


def items(codes: npt.NDArray[Any], labels: npt.NDArray[Any], side: str) -> Items:
    """Checks and packs the codes and labels of one side, "query" or "database".

    Args:
        codes: (n, K) of -1/+1 or bool.
        labels: (n, C) multi-hot.
        side: Which side; error messages name ``{side}_codes`` and ``{side}_labels``.

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


def histograms(queries: Items, database: Items) -> Iterator[tuple[Counts, Counts]]:
    """For each block of queries, how many database items lie at each distance.

    Args:
        queries: The query items.
        database: The database items, with as many bits and classes.

    Yields:
        Two arrays (queries of the block, K + 1): all items, and the relevant ones, at distances 0 to K.
    """
    for start in range(0, queries.size, _QUERY_ROWS):
        rows = slice(start, min(start + _QUERY_ROWS, queries.size))
        counts = _count(queries.codes[:, rows], queries.labels[:, rows], database)
        yield counts.sum(axis=1), counts[:, 1]


def relevant_ranks(queries: Items, database: Items) -> Iterator[Counts]:
    """For each query, the ranks of its relevant items when equal distances keep the database's order.

    Args:
        queries: The query items.
        database: The database items, with as many bits and classes.

    Yields:
        The ranks, from 1, in increasing order; an empty array for a query without relevant items.
    """
    # numpy sorts 8- and 16-bit integers stably by radix, several times faster than wider ones.
    dtype = np.min_scalar_type(database.code_length)
    for query in range(queries.size):
        distance = np.zeros(database.size, dtype)
        for own, others in zip(queries.codes[:, query], database.codes, strict=True):
            distance += np.bitwise_count(own ^ others)
        relevant = np.zeros(database.size, np.bool_)
        for own, others in zip(queries.labels[:, query], database.labels, strict=True):
            relevant |= (own & others) != 0
        yield np.flatnonzero(relevant[np.argsort(distance, kind="stable")]).astype(np.int64) + 1


def _words(packed: npt.NDArray[np.uint8]) -> Words:
    rows, width = packed.shape
    if width % 8:
        padded = np.zeros((rows, -(-width // 8) * 8), np.uint8)
        padded[:, :width] = packed
        packed = padded
    return np.ascontiguousarray(packed.view(np.uint64).T)


def _count(codes: Words, labels: Words, database: Items) -> Counts:
    """(queries, 2, K + 1) counts of the items that are not relevant and of those that are."""
    queries, bins = codes.shape[1], database.code_length + 1
    counts = np.zeros(queries * 2 * bins, np.int64)
    first_bin = np.arange(queries, dtype=np.intp)[:, None] * (2 * bins)
    for start in range(0, database.size, _DATABASE_ROWS):
        columns = slice(start, start + _DATABASE_ROWS)
        relevant = np.zeros((queries, 1), np.bool_)
        for own, others in zip(labels, database.labels[:, columns], strict=True):
            relevant = relevant | ((own[:, None] & others) != 0)
        index = np.multiply(relevant, bins, dtype=np.intp)
        index += first_bin
        for own, others in zip(codes, database.codes[:, columns], strict=True):
            index += np.bitwise_count(own[:, None] ^ others)
        counts += np.bincount(index.ravel(), minlength=counts.size)
    return counts.reshape(queries, 2, bins)
