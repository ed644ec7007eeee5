"""Counts of items at each Hamming distance, from which all scores with ties are computed.

Two engines give the same integers: NumPy for small problems, because loading Numba takes longer than counting them,
and compiled code for all others. Neither holds an array of queries by items.
"""

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pipeline.retrieval.items import Items, Words

Counts: TypeAlias = npt.NDArray[np.int64]

# Pairs of a query and an item that NumPy counts in about 0.15 s; Numba takes 0.5 s to load.
SMALL = 1 << 24
# Comparing 16 x 16,384 items needs a few megabytes, about what a core's cache holds.
_QUERY_ROWS = 16
_DATABASE_ROWS = 16384
# Counters by shared labels that are held at a time, 8 MB of them.
_COUNTERS = 1 << 20


def histograms(queries: Items, database: Items) -> tuple[Counts, Counts]:
    """For each query, how many database items lie at each distance.

    Args:
        queries: The query items.
        database: The database items, with as many bits and classes.

    Returns:
        Two arrays (queries, K + 1): all items, and the relevant ones, at distances 0 to K.
    """
    if _small(queries, database):
        counts = _by_numpy(queries.codes, queries.labels, database, 2)
    else:
        from pipeline.retrieval import compiled  # loads Numba

        counts = compiled.count(queries.codes, queries.labels, database.codes, database.labels, database.code_length)
    return counts.sum(axis=2), np.ascontiguousarray(counts[:, :, 1])


def by_shared_labels(queries: Items, database: Items, levels: int) -> Iterator[tuple[slice, Counts]]:
    """For each query, how many database items lie at each distance and share how many labels with it.

    Args:
        queries: The query items.
        database: The database items, with as many bits and classes.
        levels: A number above that of the labels that any item shares with any query.

    Yields:
        A block of queries as a slice, and their counts (block, K + 1, levels); blocks limit the memory.
    """
    step = max(1, _COUNTERS // ((database.code_length + 1) * levels))
    small = _small(queries, database)
    for start in range(0, queries.size, step):
        block = slice(start, start + step)
        # Compiled code expects contiguous arrays.
        codes, labels = (np.ascontiguousarray(words[:, block]) for words in (queries.codes, queries.labels))
        if small:
            yield block, _by_numpy(codes, labels, database, levels)
        else:
            from pipeline.retrieval import compiled

            yield (
                block,
                compiled.count_shared(codes, labels, database.codes, database.labels, database.code_length, levels),
            )


def _small(queries: Items, database: Items) -> bool:
    return queries.size * database.size <= SMALL


def _by_numpy(codes: Words, labels: Words, database: Items, levels: int) -> Counts:
    """(queries, K + 1, levels) counts of the items by their number of shared labels, at most ``levels`` - 1."""
    starts = range(0, codes.shape[1], _QUERY_ROWS)
    blocks = [slice(start, start + _QUERY_ROWS) for start in starts]
    return np.concatenate([_block(codes[:, block], labels[:, block], database, levels) for block in blocks])


def _block(codes: Words, labels: Words, database: Items, levels: int) -> Counts:
    queries, bins = codes.shape[1], levels * (database.code_length + 1)
    counts = np.zeros(queries * bins, np.int64)
    first_bin = np.arange(queries, dtype=np.intp)[:, None] * bins
    for start in range(0, database.size, _DATABASE_ROWS):
        columns = slice(start, start + _DATABASE_ROWS)
        index = first_bin + _level(labels, database.labels[:, columns], levels)
        for own, others in zip(codes, database.codes[:, columns], strict=True):
            index += levels * np.bitwise_count(own[:, None] ^ others).astype(np.intp)
        counts += np.bincount(index.ravel(), minlength=counts.size)
    return counts.reshape(queries, -1, levels)


def _level(labels: Words, others: Words, levels: int) -> npt.NDArray[Any]:
    """(queries, items): the number of shared labels; with two levels, whether there are any."""
    level: npt.NDArray[Any] = np.zeros((labels.shape[1], 1), np.bool_ if levels == 2 else np.intp)
    for own, other in zip(labels, others, strict=True):
        pair = own[:, None] & other
        level = level | (pair != 0) if levels == 2 else level + np.bitwise_count(pair)
    return level
