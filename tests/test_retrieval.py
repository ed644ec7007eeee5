"""Retrieval scores against brute force over all orders, random orders, a naive loop and scikit-learn."""

import itertools
import math
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import codes as codes_module
from pipeline.codes import pack, pack_labels, sign, unpack, unpack_labels
from pipeline.retrieval import Retrieval, counting, evaluate
from pipeline.retrieval.items import items
from pipeline.runtime.errors import UserError
from tests.conftest import ROOT

Array = npt.NDArray[Any]
Problem = tuple[Array, Array, Array, Array]
ALL_TIES = ["expected", "stable", "optimistic", "pessimistic"]


def problem(seed: int, queries: int, size: int, bits: int, classes: int = 3, multi: bool = True) -> Problem:
    rng = np.random.default_rng(seed)

    def labels(n: int) -> Array:
        if multi:
            return (rng.random((n, classes)) < 0.4).astype(np.uint8)
        return np.eye(classes, dtype=np.uint8)[rng.integers(0, classes, n)]

    def codes(n: int) -> Array:
        return (rng.integers(0, 2, (n, bits)) * 2 - 1).astype(np.int8)

    return codes(queries), labels(queries), codes(size), labels(size)


def ranked_problem(distances: list[int], relevant: list[int]) -> Problem:
    """One query whose database items have these distances and relevances."""
    bits = max(distances) + 1
    database = np.ones((len(distances), bits), np.int8)
    for row, distance in zip(database, distances, strict=True):
        row[:distance] = -1
    return np.ones((1, bits), np.int8), np.ones((1, 1), int), database, np.array(relevant)[:, None]


def naive_ap(relevant: Array, top_k: int | None) -> float:
    found, total = 0, 0.0
    for rank, is_relevant in enumerate(relevant[:top_k], start=1):
        if is_relevant:
            found += 1
            total += found / rank
    return total / found if found else 0.0


def ranks_and_relevance(data: Problem, query: int) -> tuple[Array, Array]:
    query_codes, query_labels, database_codes, database_labels = (np.asarray(a).astype(int) for a in data)
    distance = (query_codes[query] != database_codes).sum(axis=1)
    return distance, (query_labels[query] & database_labels).any(axis=1)


def all_orders(distance: Array, relevant: Array) -> list[Array]:
    """The relevances in every order of the items that distances allow."""
    blocks = [relevant[distance == d] for d in np.unique(distance)]
    choices = [list(itertools.permutations(block)) for block in blocks]
    return [np.array(list(itertools.chain(*choice))) for choice in itertools.product(*choices)]


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.slow
def test_every_tie_rule_equals_brute_force_over_all_orders(seed: int) -> None:
    size, bits = [(1, 1), (2, 1), (3, 2), (5, 1), (6, 1), (6, 2), (6, 3), (6, 4)][seed % 8]
    data = problem(seed, 3, size, bits)
    orders = [all_orders(*ranks_and_relevance(data, q)) for q in range(3)]
    for top_k in [None, *range(1, size + 2)]:
        depth = size if top_k is None else top_k
        results = {t: evaluate(*data, top_k=top_k, precision_at=[depth], ties=t) for t in ALL_TIES}
        scores = [[naive_ap(order, top_k) for order in of_query] for of_query in orders]
        expected = [math.fsum(s) / len(s) for s in scores]
        assert results["expected"].average_precision == pytest.approx(expected, abs=1e-12)
        assert results["expected"].mean_average_precision == pytest.approx(np.mean(expected), abs=1e-12)
        hits = [[order[:depth].mean() for order in of_query] for of_query in orders]
        picks: dict[str, Callable[..., Any]] = {"expected": np.mean, "optimistic": max, "pessimistic": min}
        for ties, pick in picks.items():
            value = results[ties].precision_at[depth]
            assert value == pytest.approx(np.mean([pick(h) for h in hits]), abs=1e-12)
        if top_k is None:
            bounds = [[pick(s) for s in scores] for pick in (max, min)]
            assert results["optimistic"].average_precision == pytest.approx(bounds[0], abs=1e-12)
            assert results["pessimistic"].average_precision == pytest.approx(bounds[1], abs=1e-12)


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("ties", ["optimistic", "pessimistic"])
def test_bounds_are_relevant_first_and_relevant_last_at_any_cutoff(seed: int, ties: str) -> None:
    data = problem(seed, 4, 30, 4)
    first = -1 if ties == "optimistic" else 1
    orders = []
    for query in range(4):
        distance, relevant = ranks_and_relevance(data, query)
        orders.append(relevant[np.lexsort((first * relevant, distance))])
    for top_k in (None, 1, 2, 7, 15, 29, 30, 99):
        result = evaluate(*data, top_k=top_k, ties=ties)
        assert result.average_precision == pytest.approx([naive_ap(o, top_k) for o in orders], abs=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_optimistic_expected_and_pessimistic_are_in_order(seed: int) -> None:
    data = problem(seed, 10, 200, 6)
    results = [evaluate(*data, precision_at=(1, 10, 150), ties=t) for t in ("optimistic", "expected", "pessimistic")]
    stable = evaluate(*data, precision_at=(1, 10, 150), ties="stable")
    for high, low in [*itertools.pairwise(results), (results[0], stable), (stable, results[2])]:
        assert (high.average_precision >= low.average_precision - 1e-12).all()
        assert all(high.precision_at[n] >= low.precision_at[n] - 1e-12 for n in (1, 10, 150))


def test_a_cut_tie_block_may_put_optimistic_below_expected() -> None:
    # The convention divides by what is retrieved: a second hit at rank 6 lowers 1 to (1 + 2/6) / 2.
    data = ranked_problem([0, 1, 1, 1, 1, 2, 2], [1, 0, 0, 0, 0, 1, 0])
    assert evaluate(*data, top_k=6, ties="optimistic").average_precision[0] == pytest.approx(2 / 3)
    assert evaluate(*data, top_k=6, ties="expected").average_precision[0] == pytest.approx(5 / 6)
    assert evaluate(*data, top_k=6, ties="pessimistic").average_precision[0] == 1.0


def all_tied() -> Problem:
    _, query_labels, _, labels = problem(1, 2, 150, 1, multi=False)
    return np.ones((2, 16), np.int8), query_labels, np.ones((150, 16), np.int8), labels


def short_codes() -> Problem:
    return problem(2, 2, 200, 8, classes=10, multi=False)


def class_ordered() -> Problem:
    query_codes, query_labels, codes, labels = problem(3, 2, 200, 3, multi=False)
    order = np.argsort(labels.argmax(axis=1), kind="stable")
    return query_codes, query_labels, codes[order], labels[order]


@pytest.mark.parametrize("make", [all_tied, short_codes, class_ordered])
@pytest.mark.parametrize("top_k", [None, 1, 10, 73])
def test_expected_is_the_mean_over_random_orders(make: Callable[[], Problem], top_k: int | None) -> None:
    data, draws = make(), 5000
    result = evaluate(*data, top_k=top_k, precision_at=(40,))
    rng = np.random.default_rng(0)
    precisions = []
    for query in range(2):
        distance, relevant = ranks_and_relevance(data, query)
        # Adding noise below 1 to the distances orders ties at random.
        order = np.argsort(distance + rng.random((draws, distance.size)), axis=1)
        hits = relevant[order]
        precisions.append(hits[:, :40].mean())
        hits = hits[:, :top_k]
        found = hits.sum(axis=1)
        sums = (np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1) * hits).sum(axis=1)
        samples = sums / np.maximum(found, 1)
        error = samples.std() / math.sqrt(draws)
        assert abs(samples.mean() - result.average_precision[query]) <= 5 * error + 1e-12
    assert result.precision_at[40] == pytest.approx(np.mean(precisions), abs=0.01)


@pytest.mark.parametrize(
    ("before", "relevant_before", "n", "r", "m"),
    [(100, 30, 2000, 400, 700), (0, 0, 3000, 2, 1000), (5, 0, 50000, 3000, 49999), (7, 7, 40000, 39990, 20)],
)
def test_large_cut_block_equals_exact_arithmetic(before: int, relevant_before: int, n: int, r: int, m: int) -> None:
    distances = [*range(before), *[before] * n]
    relevant = [1] * relevant_before + [0] * (before - relevant_before) + [1] * r + [0] * (n - r)
    result = evaluate(*ranked_problem(distances, relevant), top_k=before + m)
    harmonic = math.fsum(1 / (before + i) for i in range(1, m + 1))
    expected = 0.0
    for x in range(max(0, m - (n - r)), min(m, r) + 1):
        chance = float(Fraction(math.comb(r, x) * math.comb(n - r, m - x), 1) / math.comb(n, m))
        if chance < 1e-25 or relevant_before + x == 0:
            continue
        rho = (x - 1) / (m - 1)
        inside = x / m * (rho * m + (relevant_before + 1 - rho * (before + 1)) * harmonic)
        expected += chance * (relevant_before + inside) / (relevant_before + x)
    assert result.average_precision[0] == pytest.approx(expected, abs=1e-11)


@pytest.mark.parametrize("seed", range(200))
def test_stable_equals_a_naive_loop(seed: int) -> None:
    rng = np.random.default_rng(1000 + seed)
    size = int(rng.integers(1, 60))
    data = problem(seed, 5, size, int(rng.integers(1, 20)))
    for top_k in (None, int(rng.integers(1, size + 3))):
        depth = int(rng.integers(1, size + 3))
        result = evaluate(*data, top_k=top_k, precision_at=(depth,), ties="stable")
        scores, hits, without = [], [], 0
        for query in range(5):
            distance, relevant = ranks_and_relevance(data, query)
            ordered = relevant[np.argsort(distance, kind="stable")]
            scores.append(naive_ap(ordered, top_k))
            hits.append(ordered[:depth].sum() / min(depth, size))
            without += not relevant.any()
        assert np.abs(result.average_precision - scores).max() <= 1e-12
        assert result.precision_at[depth] == pytest.approx(np.mean(hits), abs=1e-12)
        assert result.queries_without_relevant == without


@pytest.mark.parametrize("ties", ALL_TIES)
@pytest.mark.parametrize("seed", range(5))
def test_without_ties_equals_scikit_learn(ties: str, seed: int) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(seed)
    distances = rng.permutation(400)[:300]
    relevant = rng.integers(0, 2, 300)
    data = ranked_problem(distances.tolist(), relevant.tolist())
    reference = metrics.average_precision_score(relevant, -distances)
    assert evaluate(*data, ties=ties).average_precision[0] == pytest.approx(reference, abs=1e-12)


@pytest.mark.parametrize("ties", ALL_TIES)
def test_perfect_rankings_score_exactly_one(ties: str) -> None:
    result = evaluate(*ranked_problem([*range(300), *[300] * 9], [1] * 309), precision_at=(7,), ties=ties)
    assert result.mean_average_precision == 1.0
    assert result.precision_at == {7: 1.0}


def same(one: Retrieval, other: Retrieval) -> bool:
    return (
        one.average_precision.tobytes() == other.average_precision.tobytes()
        and one.mean_average_precision == other.mean_average_precision
        and one.precision_at == other.precision_at
        and one.recall_at == other.recall_at
        and one.ndcg_at == other.ndcg_at
        and one.queries_without_relevant == other.queries_without_relevant
        and one.bounds == other.bounds
        and all(
            mine.tobytes() == yours.tobytes()
            for a, b in ((one.by_rank, other.by_rank), (one.by_radius, other.by_radius))
            for mine, yours in ((a.at, b.at), (a.precision, b.precision), (a.recall, b.recall))
        )
    )


@pytest.mark.parametrize("ties", ["expected", "optimistic", "pessimistic"])
@pytest.mark.parametrize("top_k", [None, 1, 100, 2999])
def test_database_order_changes_no_bit(ties: str, top_k: int | None) -> None:
    query_codes, query_labels, codes, labels = problem(5, 20, 3000, 12)
    rng = np.random.default_rng(0)
    given: dict[str, Any] = {"top_k": top_k, "recall_at": (7, 500), "ndcg_at": (7, 500), "ties": ties}
    reference = evaluate(query_codes, query_labels, codes, labels, **given)
    for _ in range(3):
        order = rng.permutation(3000)
        result = evaluate(query_codes, query_labels, codes[order], labels[order], **given)
        assert same(result, reference)


@pytest.mark.parametrize("ties", ALL_TIES)
@pytest.mark.parametrize("top_k", [None, 60])
@pytest.mark.parametrize("bits", [1, 65, 300])
def test_block_sizes_change_no_bit(ties: str, top_k: int | None, bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    data = problem(6, 13, 133, bits, classes=70)
    given: dict[str, Any] = {"top_k": top_k, "precision_at": (5, 50), "recall_at": (9,), "ndcg_at": (9,), "ties": ties}
    reference = evaluate(*data, **given)
    for query_rows, database_rows, values in [(1, 5, 1), (4, 7, 400), (13, 50, 131), (500, 500, 9)]:
        monkeypatch.setattr(counting, "_QUERY_ROWS", query_rows)
        monkeypatch.setattr(counting, "_DATABASE_ROWS", database_rows)
        monkeypatch.setattr(counting, "_COUNTERS", values * bits)
        monkeypatch.setattr(codes_module, "_VALUES_AT_ONCE", values)
        assert same(evaluate(*data, **given), reference)


@pytest.mark.parametrize(("queries", "size"), [(1, 1), (17, 5), (16, 2048), (33, 4099)])
@pytest.mark.parametrize(("bits", "classes"), [(1, 1), (12, 64), (64, 65), (65, 130), (1024, 3)])
def test_engines_agree_to_the_last_bit(
    queries: int, size: int, bits: int, classes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = problem(7, queries, size, bits, classes)
    given: dict[str, Any] = {"top_k": size // 2 or None, "precision_at": (3,), "recall_at": (9,), "ndcg_at": (9, 50)}
    monkeypatch.setattr(counting, "SMALL", 1 << 60)
    by_numpy = evaluate(*data, **given)
    monkeypatch.setattr(counting, "SMALL", -1)
    assert same(evaluate(*data, **given), by_numpy)


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """Anything a caller may have, small: few bits and many copies, so that ties and empty cases abound."""
    bits, classes = draw(st.integers(1, 256)), draw(st.integers(1, 100))
    queries, size = draw(st.integers(1, 5)), draw(st.integers(1, 40))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    codes = random.integers(0, 2, (draw(st.integers(1, 8)), bits)).astype(np.int8) * 2 - 1
    density = draw(st.sampled_from([0.0, 0.05, 0.5, 1.0]))
    labels = (random.random((queries + size, classes)) < density).astype(np.uint8)
    both = codes[random.integers(0, len(codes), queries + size)]
    return both[:queries], labels[:queries], both[queries:], labels[queries:]


@pytest.mark.slow
@settings(deadline=None, max_examples=150)
@given(data=problems(), top_k=st.none() | st.integers(1, 45), depth=st.integers(1, 45))
def test_any_input_obeys_the_definitions(data: Problem, top_k: int | None, depth: int) -> None:
    results = {t: evaluate(*data, top_k=top_k, precision_at=(depth,), ties=t) for t in ALL_TIES}
    size = len(data[2])
    for result in results.values():
        assert ((result.average_precision >= 0) & (result.average_precision <= 1 + 1e-12)).all()
        assert result.bounds == (
            results["pessimistic"].mean_average_precision,
            results["optimistic"].mean_average_precision,
        )
        for curve in (result.by_rank, result.by_radius):
            assert (np.diff(curve.at) > 0).all()
            assert (np.diff(curve.recall) >= -1e-12).all(), "recall never falls"
            assert curve.recall[-1] == pytest.approx(1 - result.queries_without_relevant / len(data[0]))
        assert result.by_rank.at[0] == 1 and result.by_rank.at[-1] == size
        low, high = results["pessimistic"].precision_at[depth], results["optimistic"].precision_at[depth]
        assert low - 1e-12 <= result.precision_at[depth] <= high + 1e-12
        if top_k is None:
            assert result.bounds[0] - 1e-12 <= result.mean_average_precision <= result.bounds[1] + 1e-12
    stable = results["stable"]
    for query in range(len(data[0])):
        distance, relevant = ranks_and_relevance(data, query)
        ordered = relevant[np.argsort(distance, kind="stable")]
        assert stable.average_precision[query] == pytest.approx(naive_ap(ordered, top_k), abs=1e-12)


@settings(deadline=None, max_examples=50)
@given(data=problems())
def test_curves_equal_their_definitions(data: Problem) -> None:
    result = evaluate(*data, ties="stable")
    bits = data[0].shape[1]
    precision, recall = np.zeros((2, bits + 1)), np.zeros((2, len(data[2])))
    for query in range(len(data[0])):
        distance, relevant = ranks_and_relevance(data, query)
        everything = max(relevant.sum(), 1)
        for radius in range(bits + 1):
            inside = distance <= radius
            precision[0, radius] += relevant[inside].sum() / max(inside.sum(), 1) / len(data[0])
            precision[1, radius] += relevant[inside].sum() / everything / len(data[0])
        ordered = relevant[np.argsort(distance, kind="stable")].cumsum()
        recall[0] += ordered / np.arange(1, len(ordered) + 1) / len(data[0])
        recall[1] += ordered / everything / len(data[0])
    assert result.by_radius.at.tolist() == list(range(bits + 1))
    assert result.by_radius.precision == pytest.approx(precision[0], abs=1e-12)
    assert result.by_radius.recall == pytest.approx(precision[1], abs=1e-12)
    at = result.by_rank.at - 1
    assert result.by_rank.precision == pytest.approx(recall[0][at], abs=1e-12)
    assert result.by_rank.recall == pytest.approx(recall[1][at], abs=1e-12)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_pairs() -> None:
    """20,000 queries against 200,000 items would be 4 GB at a byte a pair."""
    script = """
import resource, numpy as np
from pipeline.retrieval import evaluate
random = np.random.default_rng(0)
def side(n):
    return random.integers(0, 2, (n, 32), np.int8) * 2 - 1, np.eye(10, dtype=np.uint8)[random.integers(0, 10, n)]
database = side(200_000)
evaluate(*side(500), *database)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
evaluate(*side(20_000), *database)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 200  # MB


@pytest.mark.parametrize("bits", [1, 8, 63, 64, 65, 200, 300])
def test_distances_and_relevance_are_counted_right(bits: int) -> None:
    data = problem(8, 5, 40, bits, classes=130)
    total, relevant = counting.histograms(items(*data[:2], "query"), items(*data[2:], "database"))
    for query in range(5):
        distance, is_relevant = ranks_and_relevance(data, query)
        assert (total[query] == np.bincount(distance, minlength=bits + 1)).all()
        assert (relevant[query] == np.bincount(distance[is_relevant], minlength=bits + 1)).all()


@pytest.mark.parametrize("ties", ALL_TIES)
def test_bool_float_and_int_inputs_agree(ties: str) -> None:
    query_codes, query_labels, codes, labels = problem(9, 6, 80, 9)
    given: dict[str, Any] = {"recall_at": (9,), "ndcg_at": (9,), "ties": ties}
    reference = evaluate(query_codes, query_labels, codes, labels, **given)
    result = evaluate(query_codes > 0, query_labels.astype(float), codes.astype(np.float32), labels > 0, **given)
    assert same(result, reference)
    strided = np.asfortranarray(codes)[:, ::-1]
    assert same(evaluate(query_codes[:, ::-1], query_labels, strided, labels, **given), reference)


@pytest.mark.parametrize("ties", ALL_TIES)
def test_queries_without_relevant_items_count_as_zero(ties: str) -> None:
    codes = np.ones((3, 4), np.int8)
    query_labels = np.array([[1, 0], [0, 1], [0, 0]])
    result = evaluate(codes, query_labels, codes, np.array([[1, 0]] * 3), precision_at=(2, 1000), ties=ties)
    assert result.average_precision.tolist() == [1.0, 0.0, 0.0]
    assert result.mean_average_precision == pytest.approx(1 / 3)
    assert result.queries_without_relevant == 2
    # Fewer items than 1000: the divisor is the size of the database.
    assert result.precision_at == pytest.approx({2: 1 / 3, 1000: 1 / 3})


@pytest.mark.parametrize("ties", ALL_TIES)
def test_precision_is_not_limited_by_top_k_and_may_be_left_out(ties: str) -> None:
    data = problem(10, 6, 80, 9)
    whole = evaluate(*data, precision_at=(40,), ties=ties)
    assert evaluate(*data, top_k=3, precision_at=(40,), ties=ties).precision_at == whole.precision_at
    assert evaluate(*data, precision_at=(), ties=ties).precision_at == {}
    assert same(evaluate(*data, top_k=80, precision_at=(40,), ties=ties), whole)


ONES = np.ones((4, 3), np.int8)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"query_codes": np.ones(3)},
            r"query_codes: expected two dimensions \(items, bits\), found shape \(3,\)",
        ),
        ({"database_labels": np.ones(4)}, r"database_labels: expected two dimensions .* found shape \(4,\)"),
        ({"database_codes": np.ones((4, 5))}, r"database_codes: expected codes of 3 bits.* found 5"),
        ({"database_labels": np.ones((4, 2))}, r"database_labels: expected 3 classes.* found 2"),
        ({"query_codes": ONES * 2}, r"query_codes: expected -1/\+1 or bool, found 2"),
        ({"database_codes": ONES * 0}, r"database_codes: expected -1/\+1 or bool, found 0"),
        ({"database_codes": ONES.astype(np.uint8) * 0}, r"database_codes: expected -1/\+1 or bool, found 0"),
        ({"query_codes": ONES * np.nan}, r"query_codes: expected -1/\+1 or bool, found nan"),
        ({"query_codes": ONES.astype(str)}, r"query_codes: expected -1/\+1 or bool, found dtype <U"),
        ({"query_labels": ONES * 0.5}, r"query_labels: expected 0/1 or bool, found 0.5"),
        ({"query_labels": ONES * np.nan}, r"query_labels: expected 0/1 or bool, found nan"),
        ({"database_labels": ONES * -1}, r"database_labels: expected 0/1 or bool, found -1"),
        ({"query_labels": ONES[:2]}, r"query_labels: expected 4 rows, like query_codes, found 2"),
        ({"database_codes": ONES[:2]}, r"database_labels: expected 2 rows, like database_codes, found 4"),
        ({"query_codes": ONES[:0], "query_labels": ONES[:0]}, r"query_codes: expected at least one row"),
        (
            {"database_codes": ONES[:0], "database_labels": ONES[:0]},
            r"database_codes: expected at least one row",
        ),
        ({"query_codes": ONES[:, :0]}, r"query_codes: expected at least one of bits, found shape \(4, 0\)"),
        ({"query_labels": ONES[:, :0]}, r"query_labels: expected at least one of classes"),
        ({"ties": "random"}, r"ties: expected one of expected, stable, .*, found 'random'"),
        ({"top_k": 0}, r"top_k: expected a positive integer, found 0"),
        ({"top_k": -1}, r"top_k: expected a positive integer, found -1"),
        ({"top_k": 2.0}, r"top_k: expected a positive integer, found 2.0"),
        ({"top_k": True}, r"top_k: expected a positive integer, found True"),
        ({"precision_at": (5, 0)}, r"precision_at: expected a positive integer, found 0"),
        ({"precision_at": "10"}, r"precision_at: expected a positive integer, found '1'"),
        ({"precision_at": 10}, r"precision_at: expected a sequence of positive integers, found 10"),
        ({"recall_at": (0,)}, r"recall_at: expected a positive integer, found 0"),
        ({"ndcg_at": (1.5,)}, r"ndcg_at: expected a positive integer, found 1.5"),
        ({"ndcg_at": 10}, r"ndcg_at: expected a sequence of positive integers, found 10"),
    ],
)
def test_wrong_arguments_are_named_in_one_line(changes: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {
        "query_codes": ONES, "query_labels": ONES, "database_codes": ONES, "database_labels": ONES
    }  # fmt: skip
    evaluate(**arguments)
    with pytest.raises(UserError, match=f"^{message}") as caught:
        evaluate(**(arguments | changes))
    assert "\n" not in str(caught.value)


def test_numpy_integers_are_integers() -> None:
    result = evaluate(ONES, ONES, ONES, ONES, top_k=np.int64(2), precision_at=np.array([1, 2]))  # type: ignore[arg-type]
    assert result.precision_at == {1: 1.0, 2: 1.0}


@pytest.mark.parametrize("bits", range(1, 131))
def test_pack_and_unpack_are_inverse(bits: int) -> None:
    codes, labels, _, _ = problem(bits, 9, 1, bits, classes=bits)
    packed = pack(codes)
    assert packed.dtype == np.uint8 and packed.shape == (9, math.ceil(bits / 8))
    assert (packed == np.packbits(codes > 0, axis=1)).all()
    assert (pack(codes > 0) == packed).all() and (pack(codes.astype(np.float32)) == packed).all()
    unpacked = unpack(packed, bits)
    assert unpacked.dtype == np.int8 and (unpacked == codes).all()
    unpacked_labels = unpack_labels(pack_labels(labels), bits)
    assert unpacked_labels.dtype == np.uint8 and (unpacked_labels == labels).all()


def test_packing_no_rows() -> None:
    assert pack(np.ones((0, 9))).shape == (0, 2)
    assert unpack(np.ones((0, 2), np.uint8), 9).shape == (0, 9)
    assert unpack_labels(pack_labels(np.ones((0, 9))), 9).shape == (0, 9)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: unpack(np.zeros((2, 2), np.uint8), 8),
            "packed: expected uint8 of shape .items, 1. for code_length 8",
        ),
        (lambda: unpack(np.zeros((2, 1), np.int64), 8), "packed: expected uint8 .* found int64"),
        (lambda: unpack(np.zeros(2, np.uint8), 8), r"packed: expected uint8 .* of shape \(2,\)"),
        (lambda: unpack(np.full((2, 1), 255, np.uint8), 7), "packed: expected zeros past bit 7"),
        (
            lambda: unpack_labels(np.full((2, 1), 1, np.uint8), 7),
            "packed: expected zeros past bit 7 .num_classes",
        ),
        (lambda: unpack(np.zeros((2, 0), np.uint8), 0), "code_length: expected a positive integer, found 0"),
        (lambda: unpack_labels(np.zeros((2, 0), np.uint8), 0), "num_classes: expected a positive integer"),
        (lambda: pack(np.zeros((2, 3))), "codes: expected -1/.1 or bool, found 0.0"),
        (lambda: pack_labels(np.full((2, 3), 2)), "labels: expected 0/1 or bool, found 2"),
        (lambda: sign(np.array([1.0, np.nan])), "u: expected numbers, found NaN"),
        (lambda: sign(np.array([True])), "u: expected integers or floats, found dtype bool"),
    ],
)
def test_packing_errors(call: Callable[[], object], message: str) -> None:
    with pytest.raises(UserError, match=f"^{message}"):
        call()


def test_sign_of_zero_is_plus_one() -> None:
    for dtype in (np.float16, np.float32, np.float64):
        signs = sign(np.array([[-2.5, -0.0, 0.0], [1e-5, np.inf, -np.inf]], dtype))
        assert signs.dtype == np.int8
        assert signs.tolist() == [[-1, 1, 1], [1, 1, -1]]
    assert sign(np.array([-3, 0, 3])).tolist() == [-1, 1, 1]
    assert sign(np.empty((0, 4))).shape == (0, 4)
