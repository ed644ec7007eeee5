"""Counts of items at each Hamming distance, from which mean average precision with ties is computed.

Two engines give the same integers: NumPy for small problems, because loading Numba takes longer than counting them,
and compiled code for all others. Neither holds an array of queries by items.
"""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from pipeline.retrieval.items import Items, Words

Counts: TypeAlias = npt.NDArray[np.int64]

# Pairs of a query and an item that NumPy counts in about 0.15 s; Numba takes 0.5 s to load.
SMALL = 1 << 24
# Comparing 16 x 16,384 items needs a few megabytes, about what a core's cache holds.
_QUERY_ROWS = 16
_DATABASE_ROWS = 16384


def histograms(queries: Items, database: Items) -> tuple[Counts, Counts]:
    """For each query, how many database items lie at each distance.

    Args:
        queries: The query items.
        database: The database items, with as many bits and classes.

    Returns:
        Two arrays (queries, K + 1): all items, and the relevant ones, at distances 0 to K.
    """
    if queries.size * database.size > SMALL:
        from pipeline.retrieval import compiled  # loads Numba

        counts = compiled.count(queries.codes, queries.labels, database.codes, database.labels, database.code_length)
    else:
        blocks = [slice(start, start + _QUERY_ROWS) for start in range(0, queries.size, _QUERY_ROWS)]
        counts = np.concatenate([_count(queries.codes[:, b], queries.labels[:, b], database) for b in blocks])
    return counts.sum(axis=2), np.ascontiguousarray(counts[:, :, 1])


def _count(codes: Words, labels: Words, database: Items) -> Counts:
    """(queries, K + 1, 2) counts of the items that are not relevant and of those that are."""
    queries, bins = codes.shape[1], 2 * (database.code_length + 1)
    counts = np.zeros(queries * bins, np.int64)
    first_bin = np.arange(queries, dtype=np.intp)[:, None] * bins
    for start in range(0, database.size, _DATABASE_ROWS):
        columns = slice(start, start + _DATABASE_ROWS)
        relevant = np.zeros((queries, 1), np.bool_)
        for own, others in zip(labels, database.labels[:, columns], strict=True):
            relevant = relevant | ((own[:, None] & others) != 0)
        index = first_bin + relevant
        for own, others in zip(codes, database.codes[:, columns], strict=True):
            index += 2 * np.bitwise_count(own[:, None] ^ others).astype(np.intp)
        counts += np.bincount(index.ravel(), minlength=counts.size)
    return counts.reshape(queries, -1, 2)
