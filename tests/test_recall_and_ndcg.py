"""Recall and NDCG at n against brute force over all orders, explicit loops and scikit-learn."""

import itertools
import math
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from pipeline.retrieval import counting, evaluate
from tests.conftest import ROOT
from tests.test_retrieval import ALL_TIES, Array, Problem, problem, problems, same

#: Below and above ``counting.SMALL``, so by NumPy and by compiled code.
ENGINES = pytest.mark.parametrize("small", [1 << 60, -1], ids=["numpy", "compiled"])


def distances_and_gains(data: Problem) -> tuple[Array, Array]:
    """(queries, items): Hamming distances, and numbers of shared labels."""
    query_codes, query_labels, codes, labels = (np.asarray(side).astype(int) for side in data)
    return (query_codes[:, None] != codes[None]).sum(axis=2), query_labels @ labels.T


def naive_recall(gains: Array, n: int) -> float:
    """The recall of one ranking; ``gains`` are in its order."""
    relevant = sum(gain > 0 for gain in gains)
    return sum(gain > 0 for gain in gains[:n]) / relevant if relevant else 0.0


def naive_ndcg(gains: Array, n: int) -> float:
    """The NDCG of one ranking; ``gains`` are in its order."""
    ideal = sum(gain / math.log2(rank + 1) for rank, gain in enumerate(sorted(gains, reverse=True)[:n], start=1))
    return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains[:n], start=1)) / ideal if ideal else 0.0


def all_orders(distances: Array, gains: Array) -> list[Array]:
    """The gains in every order of the items that distances allow."""
    blocks = [gains[distances == distance] for distance in np.unique(distances)]
    choices = [list(itertools.permutations(block)) for block in blocks]
    return [np.array(list(itertools.chain(*choice))) for choice in itertools.product(*choices)]


@ENGINES
@pytest.mark.parametrize("multi", [True, False], ids=["several labels", "one label"])
@pytest.mark.parametrize(("size", "bits"), [(1, 1), (3, 2), (5, 1), (6, 2), (6, 4)])
def test_every_tie_rule_equals_brute_force_over_all_orders(
    size: int, bits: int, multi: bool, small: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "SMALL", small)
    data = problem(size + bits, 3, size, bits, classes=4, multi=multi)
    orders = [all_orders(*of_query) for of_query in zip(*distances_and_gains(data), strict=True)]
    depths = range(1, size + 3)
    picks: dict[str, Callable[..., Any]] = {"expected": np.mean, "optimistic": max, "pessimistic": min}
    for ties, pick in picks.items():
        result = evaluate(*data, recall_at=depths, ndcg_at=depths, ties=ties)
        for naive, found in ((naive_recall, result.recall_at), (naive_ndcg, result.ndcg_at)):
            wanted = [np.mean([pick([naive(order, n) for order in of_query]) for of_query in orders]) for n in depths]
            assert list(found) == list(depths)
            assert list(found.values()) == pytest.approx(wanted, abs=1e-12)


@ENGINES
@pytest.mark.parametrize(("bits", "classes"), [(8, 3), (16, 70), (70, 5), (3, 1)])
@pytest.mark.parametrize("multi", [True, False], ids=["several labels", "one label"])
def test_expected_equals_scikit_learn(
    bits: int, classes: int, multi: bool, small: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "SMALL", small)
    data = problem(bits, 30, 2500, bits, classes, multi)
    distances, gains = distances_and_gains(data)
    depths = (1, 2, 10, 333, 2500, 9999)
    found = evaluate(*data, ndcg_at=depths).ndcg_at
    assert found == pytest.approx({n: ndcg_score(gains, -distances, k=n) for n in depths}, abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_stable_equals_scikit_learn_and_a_naive_loop(seed: int) -> None:
    data = problem(seed, 20, 300, 5, classes=7)
    distances, gains = distances_and_gains(data)
    apart = distances * 300 + np.arange(300)
    depths = (250, 1, 40, 999)  # not in order
    found = evaluate(*data, recall_at=depths, ndcg_at=depths, ties="stable")
    wanted = {n: ndcg_score(gains, -apart, k=n, ignore_ties=True) for n in depths}
    assert found.ndcg_at == pytest.approx(wanted, abs=1e-12)
    ordered = np.take_along_axis(gains, apart.argsort(axis=1), axis=1)
    for naive, scores in ((naive_recall, found.recall_at), (naive_ndcg, found.ndcg_at)):
        assert scores == pytest.approx({n: np.mean([naive(row, n) for row in ordered]) for n in depths}, abs=1e-12)


@pytest.mark.parametrize("ties", ALL_TIES)
def test_without_ties_all_rules_equal_scikit_learn(ties: str) -> None:
    random = np.random.default_rng(0)
    codes = np.ones((200, 300), np.int8)
    for row, distance in zip(codes, random.permutation(300)[:200], strict=True):
        row[:distance] = -1
    labels = (random.random((200, 6)) < 0.4).astype(np.uint8)
    query = (np.ones((1, 300), np.int8), np.ones((1, 6), np.uint8))
    distances, gains = distances_and_gains((*query, codes, labels))
    found = evaluate(*query, codes, labels, ndcg_at=(1, 30, 200), ties=ties).ndcg_at
    wanted = {n: ndcg_score(gains, -distances, k=n, ignore_ties=True) for n in (1, 30, 200)}
    assert found == pytest.approx(wanted, abs=1e-12)


@settings(deadline=None, max_examples=50)
@given(data=problems(), n=st.integers(1, 45))
def test_any_input_obeys_the_definitions(data: Problem, n: int) -> None:
    results = {ties: evaluate(*data, recall_at=(n,), ndcg_at=(n,), ties=ties) for ties in ALL_TIES}
    low, high = results["pessimistic"], results["optimistic"]
    for result in results.values():
        assert 0 <= result.ndcg_at[n] <= 1 and 0 <= result.recall_at[n] <= 1 + 1e-12
        assert low.ndcg_at[n] - 1e-12 <= result.ndcg_at[n] <= high.ndcg_at[n] + 1e-12
        assert low.recall_at[n] - 1e-12 <= result.recall_at[n] <= high.recall_at[n] + 1e-12
    distances, gains = distances_and_gains(data)
    if gains.shape[1] > 1:  # scikit-learn refuses a single item
        assert results["expected"].ndcg_at[n] == pytest.approx(ndcg_score(gains, -distances, k=n), abs=1e-12)


@pytest.mark.parametrize("ties", ALL_TIES)
def test_queries_without_relevant_items_count_as_zero(ties: str) -> None:
    codes = np.ones((3, 4), np.int8)
    query_labels = np.array([[1, 0], [0, 1], [0, 0]])
    result = evaluate(codes, query_labels, codes, np.array([[1, 0]] * 3), recall_at=(3,), ndcg_at=(3,), ties=ties)
    assert result.queries_without_relevant == 2
    assert result.recall_at[3] == pytest.approx(1 / 3) and result.ndcg_at[3] == pytest.approx(1 / 3)
    none = evaluate(codes, query_labels, codes, np.zeros((3, 2)), recall_at=(3,), ndcg_at=(3,), ties=ties)
    assert none.recall_at == none.ndcg_at == {3: 0.0}


@pytest.mark.parametrize("ties", ALL_TIES)
def test_n_above_the_database_counts_the_whole_database(ties: str) -> None:
    data = problem(3, 10, 60, 6)
    found = evaluate(*data, recall_at=(60, 1000), ndcg_at=(60, 1000), ties=ties)
    assert found.ndcg_at[1000] == found.ndcg_at[60] < 1
    assert found.recall_at[1000] == found.recall_at[60] == pytest.approx(1 - found.queries_without_relevant / 10)


def test_all_tied_items_have_the_mean_gain() -> None:
    labels = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 1], [1, 1, 0]])  # gains 2, 1, 0, 2
    data = (np.ones((1, 5)), np.array([[1, 1, 0]]), np.ones((4, 5)), labels)
    discounts = [1, 1 / math.log2(3), 1 / 2, 1 / math.log2(5)]
    ideal = 2 * discounts[0] + 2 * discounts[1]
    wanted = {
        "expected": 5 / 4 * sum(discounts[:2]) / ideal,
        "stable": (2 * discounts[0] + discounts[1]) / ideal,
        "optimistic": 1.0,
        "pessimistic": discounts[1] / ideal,
    }
    for ties, score in wanted.items():
        assert evaluate(*data, ndcg_at=(2,), ties=ties).ndcg_at[2] == pytest.approx(score, abs=1e-15)
    assert evaluate(*data, recall_at=(2,)).recall_at[2] == pytest.approx(3 / 4 * 2 / 3)


@pytest.mark.parametrize("ties", ALL_TIES)
def test_perfect_rankings_score_one(ties: str) -> None:
    """Items by their number of shared labels, ten at each distance."""
    labels = np.repeat(np.tri(8, dtype=np.uint8)[::-1], 10, axis=0)
    codes = np.repeat(np.tri(8, k=-1, dtype=np.int8) * 2 - 1, 10, axis=0)
    found = evaluate(codes[:1], labels[:1], codes, labels, recall_at=(80,), ndcg_at=(1, 25, 80), ties=ties)
    assert found.recall_at == {80: 1.0}
    assert found.ndcg_at == pytest.approx({1: 1.0, 25: 1.0, 80: 1.0}, abs=1e-15)
    assert max(found.ndcg_at.values()) <= 1.0


@pytest.mark.parametrize("ties", ALL_TIES)
def test_other_scores_do_not_depend_on_gains_and_top_k_does_not_limit_them(ties: str) -> None:
    data = problem(10, 6, 80, 9)
    without, whole = evaluate(*data, ties=ties), evaluate(*data, recall_at=(40,), ndcg_at=(40,), ties=ties)
    assert without.recall_at == without.ndcg_at == {}
    assert same(evaluate(*data, ndcg_at=(), recall_at=(), ties=ties), without)
    assert whole.average_precision.tobytes() == without.average_precision.tobytes()
    cut = evaluate(*data, top_k=3, recall_at=(40,), ndcg_at=(40,), ties=ties)
    assert (cut.recall_at, cut.ndcg_at) == (whole.recall_at, whole.ndcg_at)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_pairs() -> None:
    """2,000 queries against 100,000 items with several labels would be 400 MB at two bytes a pair."""
    script = """
import resource, numpy as np
from pipeline.retrieval import evaluate
random = np.random.default_rng(0)
def side(n):
    return random.integers(0, 2, (n, 64), np.int8) * 2 - 1, (random.random((n, 80)) < 0.05).view(np.uint8)
queries, database = side(2_000), side(100_000)
evaluate(*queries, *database)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for ties in ("expected", "optimistic"):
    evaluate(*queries, *database, ndcg_at=(100, 1000), ties=ties)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 100  # MB
