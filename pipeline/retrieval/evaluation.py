"""Scores of a ranking of database items by Hamming distance to each query."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.codes import positive_integer
from pipeline.retrieval.average_precision import Floats, average_precision, harmonic_numbers, precision
from pipeline.retrieval.ranking import Counts, Items, histograms, items, relevant_ranks
from pipeline.runtime.errors import UserError

TIES = ("expected", "stable", "optimistic", "pessimistic")


@dataclass(frozen=True, eq=False)
class Retrieval:
    """What ``evaluate`` found; all scores are fractions from 0 to 1.

    Attributes:
        mean_average_precision: The mean of ``average_precision`` over all queries.
        precision_at: For each n asked for, the mean precision of the first n items over all queries.
        average_precision: (queries,) float64, in the order of the queries.
        queries_without_relevant: How many queries have no relevant item in the whole database. They count
            as 0 in the means.
    """

    mean_average_precision: float
    precision_at: dict[int, float]
    average_precision: Floats
    queries_without_relevant: int


def evaluate(
    query_codes: npt.NDArray[Any],
    query_labels: npt.NDArray[Any],
    database_codes: npt.NDArray[Any],
    database_labels: npt.NDArray[Any],
    *,
    top_k: int | None = None,
    precision_at: Iterable[int] = (1000,),
    ties: str = "expected",
) -> Retrieval:
    """Ranks the database by Hamming distance to each query and scores the rankings.

    A database item is relevant to a query if they share a label. The average precision of a query is the sum,
    over the relevant items among the first ``top_k``, of the precision at their ranks, divided by the number
    of relevant items among the first ``top_k``; it is 0 if there are none.

    Hamming distances are integers from 0 to K, so many items tie. ``ties`` says how they are ordered:

    - "expected": the exact expectation of each score over uniformly random orders of items at equal distance.
      Where ``top_k`` cuts a tie block, this is the expectation of the ratio, numerator and divisor being both
      random. With N items of which R are relevant before a block of n items of which r are relevant, and
      m = top_k - N, the number x of relevant items taken is hypergeometric, and the value is the sum over x
      of P(x) * (S + x/m * sum for i = 1..m of (R + 1 + (i - 1)(x - 1)/(m - 1)) / (N + i)) / (R + x), where S
      is the sum of precisions before the block; the term with R + x = 0 is 0.
    - "stable": items at equal distance keep the order of the database.
    - "optimistic", "pessimistic": relevant items come first, or last, among items at equal distance. Without
      ``top_k``, and for precision at n, no order gives more, or less. Where ``top_k`` cuts a tie block, they
      do not bound the average precision: one more relevant item at a late rank can lower the ratio.

    Except under "stable", the scores do not depend on the order of the database, to the last bit. Beyond the
    arguments, memory is a few megabytes and, for each database item, twice its code and labels packed into
    64-bit words and about 20 bytes; no array of queries by database items is made.

    Args:
        query_codes: (queries, K) of -1/+1, or bool with True for +1.
        query_labels: (queries, C) multi-hot, 0/1 or bool. A row may be all 0; nothing is relevant to it.
        database_codes: (items, K), as ``query_codes``.
        database_labels: (items, C), as ``query_labels``.
        top_k: How many items are retrieved for average precision, None for the whole database; a number above
            the database size means the whole database. It does not limit ``precision_at``.
        precision_at: The numbers n at which to take precision. A database of fewer than n items is retrieved
            whole and the divisor is its size, not n. Empty for none.
        ties: "expected", "stable", "optimistic" or "pessimistic".

    Returns:
        The scores. An empty query set or database is an error, not an empty result.

    Raises:
        UserError: An argument has a wrong shape or value, the two sides differ in K or C, or a side is empty.

    Source: the expectation for whole tie blocks is that of F. McSherry and M. Najork, "Computing information
    retrieval performance measures efficiently in the presence of tied scores", ECIR 2008. Deviation: they
    divide by the number of relevant items in the database, here it is the number retrieved, as papers on
    hashing do; hence the sum over x above. Without ``top_k`` the two are the same.
    """
    if ties not in TIES:
        raise UserError(f"ties: expected one of {', '.join(TIES)}, found {ties!r}")
    cutoff = None if top_k is None else positive_integer(top_k, "top_k")
    depths = _depths(precision_at)
    queries = items(query_codes, query_labels, "query")
    database = items(database_codes, database_labels, "database")
    _check_widths(queries, database)
    size = database.size
    cutoff = size if cutoff is None else min(cutoff, size)
    clipped = [min(depth, size) for depth in depths]
    if ties == "stable":
        blocks = _by_rank(relevant_ranks(queries, database), cutoff, clipped)
    else:
        blocks = _by_distance(histograms(queries, database), cutoff, clipped, ties, harmonic_numbers(size))
    scores, precisions, relevant = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    return Retrieval(
        mean_average_precision=float(scores.mean()),
        precision_at={depth: float(precisions[:, i].mean()) for i, depth in enumerate(depths)},
        average_precision=scores,
        queries_without_relevant=int((relevant == 0).sum()),
    )


def _depths(precision_at: Iterable[int]) -> list[int]:
    if not isinstance(precision_at, Iterable):
        raise UserError(f"precision_at: expected a sequence of positive integers, found {precision_at!r}")
    return [positive_integer(depth, "precision_at") for depth in precision_at]


def _check_widths(queries: Items, database: Items) -> None:
    if queries.code_length != database.code_length:
        raise UserError(
            f"database_codes: expected codes of {queries.code_length} bits, as query_codes has, "
            f"found {database.code_length}"
        )
    if queries.num_classes != database.num_classes:
        raise UserError(
            f"database_labels: expected {queries.num_classes} classes, as query_labels has, "
            f"found {database.num_classes}"
        )


def _by_distance(
    blocks: Iterable[tuple[Counts, Counts]], cutoff: int, depths: list[int], ties: str, harmonic: Floats
) -> Iterator[tuple[Floats, Floats, Counts]]:
    """For each block: average precision (q,), precisions (q, depths), number of relevant items (q,)."""
    for total, relevant in blocks:
        precisions = np.empty((len(total), len(depths)), np.float64)
        for i, depth in enumerate(depths):
            precisions[:, i] = precision(total, relevant, depth, ties)
        scores = average_precision(total, relevant, cutoff, ties, harmonic)
        yield scores, precisions, relevant.sum(axis=1)


def _by_rank(
    ranks_of_queries: Iterable[Counts], cutoff: int, depths: list[int]
) -> Iterator[tuple[Floats, Floats, Counts]]:
    """What ``_by_distance`` yields, for blocks of one query."""
    for ranks in ranks_of_queries:
        top = ranks[: np.searchsorted(ranks, cutoff, side="right")]
        score = float((np.arange(1, top.size + 1) / top).mean()) if top.size else 0.0
        found = [np.searchsorted(ranks, depth, side="right") / depth for depth in depths]
        yield np.array([score]), np.array([found], np.float64), np.array([ranks.size], np.int64)
