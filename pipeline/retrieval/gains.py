"""Normalized discounted cumulative gain (NDCG), from counts of items by Hamming distance and shared labels.

The gain of an item is the number of labels that it shares with the query. An item at rank i counts with its gain
divided by log2(i + 1). The sum over the first n ranks is divided by the most that any ranking of the database gives.

Source: K. Järvelin and J. Kekäläinen, "Cumulated gain-based evaluation of IR techniques", ACM TOIS 2002, for gains as
they are. Deviation: their discount is 1 at the first b ranks and 1/log_b(i) at others; 1/log2(i + 1) is the one in use.
K. He et al., "Hashing as tie-aware learning to rank", CVPR 2018, whose NDCG has this discount and these four rules for
ties, take 2^g - 1 as the gain of g shared labels; with one label per image both are the same. F. McSherry and M.
Najork, ECIR 2008, for the expectation.
"""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from pipeline.retrieval.counting import Counts, by_shared_labels
from pipeline.retrieval.items import Items
from pipeline.retrieval.scores import Floats


def ndcg(queries: Items, database: Items, histograms: tuple[Counts, Counts], ranks: Counts, ties: str) -> Floats:
    """NDCG at each rank, for each query.

    Args:
        queries: The query items.
        database: The database items.
        histograms: All items and relevant items at each distance, ``counting.histograms`` of the two.
        ranks: (R,), increasing, from 1 to the database size.
        ties: "expected", "stable", "optimistic" or "pessimistic".

    Returns:
        (queries, R) float64 in [0, 1]; 0 where no item is relevant.
    """
    discounts = np.zeros(database.size + 1)
    discounts[1:] = 1 / np.log2(np.arange(2, database.size + 2))
    sums = np.cumsum(discounts)
    found, ideal = np.zeros((2, queries.size, len(ranks)))
    for block, counts in _counts(queries, database, histograms):
        gains = np.arange(counts.shape[2], dtype=np.float64)
        ideal[block] = _cumulative(counts.sum(axis=1)[:, ::-1], gains[::-1], ranks, sums)
        if ties != "stable":
            found[block] = _cumulative(*_tied(counts, gains, ties), ranks, sums)
    if ties == "stable":
        found = _in_database_order(queries, database, ranks, discounts)
    scores = np.divide(found, ideal, out=np.zeros_like(found), where=ideal > 0)
    return np.minimum(scores, 1.0)  # the sums of a perfect ranking may differ in the last digit


def _counts(queries: Items, database: Items, histograms: tuple[Counts, Counts]) -> Iterable[tuple[slice, Counts]]:
    """Blocks of queries with their counts (block, K + 1, levels)."""
    most = min(int(np.bitwise_count(side.labels).sum(axis=0).max()) for side in (queries, database))
    if most > 1:
        return by_shared_labels(queries, database, most + 1)
    # No pair shares more than one label: the gain is the relevance, and nothing more has to be counted.
    total, relevant = histograms
    return [(slice(None), np.stack([total - relevant, relevant], axis=2))]


def _tied(counts: Counts, gains: Floats, ties: str) -> tuple[Counts, Floats]:
    """Blocks of items in the order of a ranking: sizes (queries, B), and gains of each item (B,) or (queries, B)."""
    if ties == "expected":
        # The expectation is linear in the gains, so each item of a tie has the mean gain.
        total = counts.sum(axis=2)
        return total, (counts @ gains) / np.maximum(total, 1)
    step = -1 if ties == "optimistic" else 1
    return counts[:, :, ::step].reshape(len(counts), -1), np.tile(gains[::step], counts.shape[1])


def _cumulative(sizes: Counts, gains: Floats, ranks: Counts, sums: Floats) -> Floats:
    """(queries, R) discounted cumulative gain at each rank of blocks of items with equal gains.

    Args:
        sizes: (queries, B), items of each block, in the order of the ranking.
        gains: (B,) or (queries, B), the gain of each of a block's items.
        ranks: (R,).
        sums: (items + 1,), the sums of discounts up to each rank.
    """
    ends = sizes.cumsum(axis=1)
    starts = ends - sizes
    columns = [(gains * (sums[np.minimum(ends, rank)] - sums[np.minimum(starts, rank)])).sum(axis=1) for rank in ranks]
    return np.stack(columns, axis=1)


def _in_database_order(queries: Items, database: Items, ranks: Counts, discounts: Floats) -> npt.NDArray[np.float64]:
    from pipeline.retrieval import compiled

    found: Floats = compiled.gain_in_database_order(
        queries.codes, queries.labels, database.codes, database.labels, database.code_length, ranks, discounts
    )
    return found
