"""Score rankings of database items by Hamming distance to each query."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.codes import positive_integer
from pipeline.retrieval.counting import Counts, histograms
from pipeline.retrieval.gains import ndcg
from pipeline.retrieval.items import Items, items
from pipeline.retrieval.scores import Floats, average_precision, found_at, harmonic_numbers
from pipeline.runtime.errors import UserError

TIES = ("expected", "stable", "optimistic", "pessimistic")


@dataclass(frozen=True, eq=False)
class Curve:
    """Precision and recall at several depths, as means over all queries.

    Attributes:
        at: (P,) int64, the depths: ranks from 1, or Hamming radii from 0.
        precision: (P,) float64. A query that retrieves nothing within a radius counts as 0.
        recall: (P,) float64. A query without a relevant item in the database counts as 0.
    """

    at: Counts
    precision: Floats
    recall: Floats


@dataclass(frozen=True, eq=False)
class Retrieval:
    """The result of ``evaluate``; all scores are fractions from 0 to 1.

    Attributes:
        mean_average_precision: The mean of ``average_precision`` over all queries.
        bounds: The mean average precision under "pessimistic" and "optimistic", for any ``ties``. It shows how much
            the order of ties can matter.
        precision_at: For each n of the argument, the mean precision of the first n items over all queries.
        recall_at: For each n of the argument, the mean recall of the first n items over all queries.
        ndcg_at: For each n of the argument, the mean NDCG of the first n items over all queries.
        average_precision: (queries,) float64, in the order of the queries.
        queries_without_relevant: How many queries have no relevant item in the whole database. They count
            as 0 in the means.
        by_rank: Precision and recall at about 100 ranks from 1 to the database size, and at those of ``precision_at``
            and ``recall_at``.
        by_radius: Precision and recall within Hamming radius 0 to K; ``by_radius.precision[2]`` is the field's
            "precision within radius 2".
    """

    mean_average_precision: float
    bounds: tuple[float, float]
    precision_at: dict[int, float]
    recall_at: dict[int, float]
    ndcg_at: dict[int, float]
    average_precision: Floats
    queries_without_relevant: int
    by_rank: Curve
    by_radius: Curve


def evaluate(
    query_codes: npt.NDArray[Any],
    query_labels: npt.NDArray[Any],
    database_codes: npt.NDArray[Any],
    database_labels: npt.NDArray[Any],
    *,
    top_k: int | None = None,
    precision_at: Iterable[int] = (1000,),
    recall_at: Iterable[int] = (),
    ndcg_at: Iterable[int] = (),
    ties: str = "expected",
) -> Retrieval:
    """Rank the database by Hamming distance to each query and score the rankings.

    A database item is relevant to a query if they share a label. The average precision of a query is the sum,
    over the relevant items among the first ``top_k``, of the precision at their ranks, divided by the number
    of relevant items among the first ``top_k``; it is 0 if there are none. Recall at n is the number of relevant items
    among the first n divided by that of the whole database. NDCG at n is the discounted cumulative gain of the first n
    items divided by that of the best ranking of the whole database: an item at rank i has the number of labels that it
    shares with the query as its gain, divided by log2(i + 1); ``pipeline/retrieval/gains.py`` gives the sources. A
    query without a relevant item has 0 in each score and counts in the means.

    Hamming distances are integers from 0 to K, so many items tie. ``ties`` determines their order:

    - "expected": the exact expectation of each score over uniformly random orders of items at equal distance.
      If ``top_k`` cuts a tie block, this is the expectation of a ratio whose numerator and denominator are both
      random. With N items of which R are relevant before a block of n items of which r are relevant, and
      m = top_k - N, the number x of relevant items taken is hypergeometric, and the value is the sum over x
      of P(x) * (S + x/m * sum for i = 1..m of (R + 1 + (i - 1)(x - 1)/(m - 1)) / (N + i)) / (R + x), where S
      is the sum of precisions before the block; the term with R + x = 0 is 0.
    - "stable": items at equal distance keep the order of the database.
    - "optimistic", "pessimistic": relevant items come first, or last, among items at equal distance; for NDCG, items
      with the highest gain. Without ``top_k``, and for all scores at n, no order gives a higher, or lower, score. If
      ``top_k`` cuts a tie block, they do not bound the average precision: one more relevant item at a late rank can
      lower the ratio.

    Except under "stable", the scores do not depend on the order of the database, to the last bit. A Hamming
    radius includes all items of a tie or none, so ``by_radius`` is the same under all four.

    Memory beyond the arguments: for each database item, its code and labels packed into 64-bit words, twice
    while packing (and under "stable" 10 bytes more for each core); for each query, about 24 (K + 100) bytes; with
    ``ndcg_at``, about 50 MB. No array of queries by database items is made. Time is linear in the number of pairs.
    NDCG needs the pairs once more if items have several labels, or under "stable". Large problems run in machine code
    on all cores; loading it takes half a second, and compiling it, once per machine, 10 s.

    Args:
        query_codes: (queries, K) of -1/+1, or bool with True for +1.
        query_labels: (queries, C) multi-hot, 0/1 or bool. A row may be all 0; no item is relevant to it.
        database_codes: (items, K), as ``query_codes``.
        database_labels: (items, C), as ``query_labels``.
        top_k: How many items are retrieved for average precision. None, or a number above the database size, means
            the whole database. It does not affect the other scores.
        precision_at: The numbers n at which to compute precision. If the database has fewer than n items, all are
            retrieved and the divisor is the database size, not n. Empty for none.
        recall_at: The numbers n at which to compute recall. Empty for none.
        ndcg_at: The numbers n at which to compute NDCG. Empty for none.
        ties: "expected", "stable", "optimistic" or "pessimistic".

    Returns:
        The scores. An empty query set or database is an error, not an empty result.

    Raises:
        UserError: An argument has a wrong shape or value, the two sides differ in K or C, or a side is empty.

    Source: the expectation for whole tie blocks is that of F. McSherry and M. Najork, "Computing information
    retrieval performance measures efficiently in the presence of tied scores", ECIR 2008. Deviation: they
    divide by the number of relevant items in the database. Here the divisor is the number of relevant items
    retrieved, as in papers on hashing; this is the reason for the sum over x above. Without ``top_k`` the two
    are the same.

    Examples:
        >>> import numpy as np
        >>> database, labels = np.array([[1, 1], [1, -1], [-1, -1]]), np.array([[1, 0], [1, 0], [0, 1]])
        >>> found = evaluate(database[:1], labels[:1], database, labels, precision_at=[2])
        >>> found.mean_average_precision, found.precision_at[2]
        (1.0, 1.0)
    """
    if ties not in TIES:
        raise UserError(f"ties: expected one of {', '.join(TIES)}, found {ties!r}")
    cutoff = None if top_k is None else positive_integer(top_k, "top_k")
    of_precision, of_recall, of_gain = (
        _depths(given, name)
        for name, given in (("precision_at", precision_at), ("recall_at", recall_at), ("ndcg_at", ndcg_at))
    )
    queries = items(query_codes, query_labels, "query")
    database = items(database_codes, database_labels, "database")
    _check_widths(queries, database)
    cutoff = database.size if cutoff is None else min(cutoff, database.size)
    ranks = _ranks(database.size, [*of_precision, *of_recall])
    total, relevant = histograms(queries, database)
    harmonic = harmonic_numbers(database.size)
    scored = {
        rule: average_precision(total, relevant, cutoff, rule, harmonic) for rule in {ties, *TIES[2:]} - {"stable"}
    }
    found: npt.NDArray[Any]
    if ties == "stable":
        scored[ties], found = _in_database_order(queries, database, cutoff, ranks)
    else:
        found = found_at(total, relevant, ranks, ties)
    by_rank = _curve(ranks, found, np.broadcast_to(ranks, found.shape), relevant)
    by_radius = _curve(np.arange(total.shape[1]), relevant.cumsum(axis=1), total.cumsum(axis=1), relevant)
    return Retrieval(
        mean_average_precision=float(scored[ties].mean()),
        bounds=(float(scored["pessimistic"].mean()), float(scored["optimistic"].mean())),
        precision_at=_at(of_precision, ranks, by_rank.precision),
        recall_at=_at(of_recall, ranks, by_rank.recall),
        ndcg_at=_gains(queries, database, (total, relevant), of_gain, ties),
        average_precision=scored[ties],
        queries_without_relevant=int((relevant.sum(axis=1) == 0).sum()),
        by_rank=by_rank,
        by_radius=by_radius,
    )


def _depths(given: Iterable[int], argument: str) -> list[int]:
    if not isinstance(given, Iterable):
        raise UserError(f"{argument}: expected a sequence of positive integers, found {given!r}")
    return [positive_integer(depth, argument) for depth in given]


def _at(depths: list[int], ranks: Counts, values: Floats) -> dict[int, float]:
    """The values at the depths, or at the last rank if it is below; ``ranks`` holds them all."""
    places = np.searchsorted(ranks, np.minimum(depths, ranks[-1]))
    return {depth: float(values[place]) for depth, place in zip(depths, places, strict=True)}


def _gains(
    queries: Items, database: Items, histograms: tuple[Counts, Counts], depths: list[int], ties: str
) -> dict[int, float]:
    if not depths:
        return {}
    ranks = np.unique(np.minimum(depths, database.size))
    return _at(depths, ranks, ndcg(queries, database, histograms, ranks, ties).mean(axis=0))


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


def _ranks(size: int, depths: list[int]) -> Counts:
    """Ranks from 1 to ``size``, each an eighth above the last, and ``depths``; integers, so that all machines agree."""
    ranks = [1]
    while ranks[-1] < size:
        ranks.append(min(size, ranks[-1] + max(1, ranks[-1] // 8)))
    return np.array(sorted({*ranks, *(min(depth, size) for depth in depths)}), np.int64)


def _in_database_order(queries: Items, database: Items, cutoff: int, ranks: Counts) -> tuple[Floats, Counts]:
    from pipeline.retrieval import compiled

    scores, found = compiled.in_database_order(
        queries.codes, queries.labels, database.codes, database.labels, database.code_length, cutoff, ranks
    )
    return scores, found


def _curve(at: Counts, found: npt.NDArray[Any], retrieved: Counts, relevant: Counts) -> Curve:
    """Means over queries of found / retrieved and found / all relevant; 0 where the divisor is 0."""
    everything = np.maximum(relevant.sum(axis=1, keepdims=True), 1)
    return Curve(at, (found / np.maximum(retrieved, 1)).mean(axis=0), (found / everything).mean(axis=0))
