"""Comparing codes in machine code on all cores (Numba; compiled once and cached next to this file).

A block of queries is compared with one tile of the database at a time. For a query and a tile, a first loop, which
the compiler vectorises, writes each item's bin, 2 * distance + relevance. A second loop counts the bins. Counting
limits the speed, at one load, one increment and one store per item. It alternates between four counters, because two
increments of the same bin in a row would wait for each other.

Counting by the number of shared labels, for gains, has kernels of its own, which only a process that asks for gains
compiles or loads.
"""

from typing import Any

import numpy as np
from numba import njit, prange
from numba.core import types
from numba.extending import intrinsic

# A tile's bins (4 KB) and its words of codes and labels fit in a core's L1 cache.
_TILE = 2048
_QUERIES = 16


@intrinsic
def _bit_count(typing_context: Any, word: Any) -> Any:
    """The number of ones in a 64-bit word, by LLVM's population count."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


@njit(inline="always")
def _bins(bins, shared, query, query_codes, query_labels, codes, labels, start, stop):  # type: ignore[no-untyped-def]
    """Fill ``bins`` with 2 * distance + relevance of the items from ``start`` to ``stop`` to one query.

    Each word has its own loop over all items, because the compiler does not vectorise a single loop over items. A slice
    of a row is known to be contiguous; a slice of columns is not.
    """
    for word in range(len(codes)):
        own, others = query_codes[word, query], codes[word, start:stop]
        if word == 0:
            for j in range(len(others)):
                bins[j] = np.uint16(_bit_count(others[j] ^ own))
        else:
            for j in range(len(others)):
                bins[j] += np.uint16(_bit_count(others[j] ^ own))
    last = len(labels) - 1
    for word in range(last):
        own, others = query_labels[word, query], labels[word, start:stop]
        if word == 0:
            for j in range(len(others)):
                shared[j] = others[j] & own
        else:
            for j in range(len(others)):
                shared[j] |= others[j] & own
    own, others = query_labels[last, query], labels[last, start:stop]
    if last == 0:
        for j in range(len(others)):
            bins[j] = np.uint16(2) * bins[j] + np.uint16((others[j] & own) != 0)
    else:
        for j in range(len(others)):
            bins[j] = np.uint16(2) * bins[j] + np.uint16(((others[j] & own) | shared[j]) != 0)


@njit(parallel=True, cache=True, nogil=True)
def count(query_codes, query_labels, codes, labels, code_length):  # type: ignore[no-untyped-def]
    """Count the items at each distance from each query.

    Args:
        query_codes, query_labels, codes, labels: as in ``items.Items``.
        code_length: K, at most 32,767.

    Returns:
        (queries, K + 1, 2) int64: counts of the items that are not relevant and of those that are.
    """
    queries, size, width = query_codes.shape[1], codes.shape[1], 2 * (code_length + 1)
    counts = np.zeros((queries, width), np.int64)
    for block in prange(-(-queries // _QUERIES)):
        bins, shared = np.empty(_TILE, np.uint16), np.empty(_TILE, np.uint64)
        counters = np.empty((4, width), np.uint32)
        for start in range(0, size, _TILE):
            stop = min(start + _TILE, size)
            n = stop - start
            for query in range(block * _QUERIES, min((block + 1) * _QUERIES, queries)):
                _bins(bins, shared, query, query_codes, query_labels, codes, labels, start, stop)
                counters[:] = 0
                for j in range(0, n - 3, 4):
                    counters[0, bins[j]] += np.uint32(1)
                    counters[1, bins[j + 1]] += np.uint32(1)
                    counters[2, bins[j + 2]] += np.uint32(1)
                    counters[3, bins[j + 3]] += np.uint32(1)
                for j in range(n // 4 * 4, n):
                    counters[0, bins[j]] += np.uint32(1)
                for i in range(width):
                    for counter in range(4):
                        counts[query, i] += np.int64(counters[counter, i])
    return counts.reshape(queries, code_length + 1, 2)


@njit(parallel=True, cache=True, nogil=True)
def in_database_order(query_codes, query_labels, codes, labels, code_length, top_k, ranks):  # type: ignore[no-untyped-def]
    """Average precision, and relevant items found, if items at equal distance keep the database's order.

    Args:
        query_codes, query_labels, codes, labels: as in ``items.Items``.
        code_length: K, at most 32,767.
        top_k: how many items are retrieved for average precision.
        ranks: (R,) int64, increasing.

    Returns:
        (queries,) float64 average precision; (queries, R) int64, the number of relevant items up to each rank.
    """
    queries, size, width = query_codes.shape[1], codes.shape[1], 2 * (code_length + 1)
    scores, found = np.zeros(queries), np.zeros((queries, len(ranks)), np.int64)
    for query in prange(queries):
        bins, shared = np.empty(size, np.uint16), np.empty(size, np.uint64)
        _bins(bins, shared, query, query_codes, query_labels, codes, labels, 0, size)
        counts = np.zeros(width, np.int64)
        for j in range(size):
            counts[bins[j]] += 1
        # For each distance: the rank of its next item, from 0, and the index of its next relevant item among those.
        place, relevant_place = np.zeros(code_length + 1, np.int64), np.zeros(code_length + 1, np.int64)
        for distance in range(code_length):
            place[distance + 1] = place[distance] + counts[2 * distance] + counts[2 * distance + 1]
            relevant_place[distance + 1] = relevant_place[distance] + counts[2 * distance + 1]
        relevant_ranks = np.empty(counts[1::2].sum(), np.int64)
        for j in range(size):
            distance = bins[j] >> 1
            place[distance] += 1
            if bins[j] & 1:
                relevant_ranks[relevant_place[distance]] = place[distance]
                relevant_place[distance] += 1
        total, retrieved = 0.0, 0
        for rank in relevant_ranks:
            if rank > top_k:
                break
            retrieved += 1
            total += retrieved / rank
        if retrieved:
            scores[query] = total / retrieved
        found[query] = np.searchsorted(relevant_ranks, ranks, side="right")
    return scores, found


@njit(inline="always")
def _distances(distances, query, query_codes, codes, start, stop):  # type: ignore[no-untyped-def]
    """Fill ``distances`` with those of the items from ``start`` to ``stop`` to one query."""
    for word in range(len(codes)):
        own, others = query_codes[word, query], codes[word, start:stop]
        if word == 0:
            for j in range(len(others)):
                distances[j] = np.uint16(_bit_count(others[j] ^ own))
        else:
            for j in range(len(others)):
                distances[j] += np.uint16(_bit_count(others[j] ^ own))


@njit(inline="always")
def _shared_labels(shared, query, query_labels, labels, start, stop):  # type: ignore[no-untyped-def]
    """Fill ``shared`` with the number of labels that the items from ``start`` to ``stop`` share with one query."""
    for word in range(len(labels)):
        own, others = query_labels[word, query], labels[word, start:stop]
        if word == 0:
            for j in range(len(others)):
                shared[j] = np.uint16(_bit_count(others[j] & own))
        else:
            for j in range(len(others)):
                shared[j] += np.uint16(_bit_count(others[j] & own))


@njit(parallel=True, cache=True, nogil=True)
def count_shared(query_codes, query_labels, codes, labels, code_length, levels):  # type: ignore[no-untyped-def]
    """Count the items at each distance from each query, by the number of labels that they share with it.

    Args:
        query_codes, query_labels, codes, labels: as in ``items.Items``.
        code_length: K, at most 32,767.
        levels: above the number of labels that any item shares with any query.

    Returns:
        (queries, K + 1, levels) int64.
    """
    queries, size, width = query_codes.shape[1], codes.shape[1], (code_length + 1) * levels
    counts = np.zeros((queries, width), np.int64)
    for block in prange(-(-queries // _QUERIES)):
        distances, shared = np.empty(_TILE, np.uint16), np.empty(_TILE, np.uint16)
        for start in range(0, size, _TILE):
            stop = min(start + _TILE, size)
            for query in range(block * _QUERIES, min((block + 1) * _QUERIES, queries)):
                _distances(distances, query, query_codes, codes, start, stop)
                _shared_labels(shared, query, query_labels, labels, start, stop)
                # One counter: clearing and adding up four of this width takes longer than the waits they avoid.
                for j in range(stop - start):
                    counts[query, np.int64(distances[j]) * levels + np.int64(shared[j])] += 1
    return counts.reshape(queries, code_length + 1, levels)


@njit(parallel=True, cache=True, nogil=True)
def gain_in_database_order(  # type: ignore[no-untyped-def]
    query_codes, query_labels, codes, labels, code_length, ranks, discounts
):
    """Discounted cumulative gain up to each rank, if items at equal distance keep the database's order.

    Args:
        query_codes, query_labels, codes, labels: as in ``items.Items``.
        code_length: K, at most 32,767.
        ranks: (R,) int64, increasing.
        discounts: (items + 1,) float64, by rank.

    Returns:
        (queries, R) float64.
    """
    queries, size = query_codes.shape[1], codes.shape[1]
    gains = np.zeros((queries, len(ranks)))
    for query in prange(queries):
        distances, shared = np.empty(size, np.uint16), np.empty(size, np.uint16)
        _distances(distances, query, query_codes, codes, 0, size)
        _shared_labels(shared, query, query_labels, labels, 0, size)
        # For each distance: the rank before its next item.
        place = np.zeros(code_length + 2, np.int64)
        for j in range(size):
            place[distances[j] + 1] += 1
        for distance in range(code_length):
            place[distance + 1] += place[distance]
        for j in range(size):
            place[distances[j]] += 1
            rank = place[distances[j]]
            if shared[j] and rank <= ranks[-1]:
                gains[query, np.searchsorted(ranks, rank)] += shared[j] * discounts[rank]
        gains[query] = np.cumsum(gains[query])
    return gains
