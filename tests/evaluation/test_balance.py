"""Measures of balance against plain loops over their definitions, and where their values are known."""

import itertools
import math
from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.linalg import hadamard

from pipeline.evaluation.balance import balance
from pipeline.runtime.errors import UserError

Array = npt.NDArray[Any]


def drawn(n: int, bits: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).integers(0, 2, (n, bits)).astype(np.int8) * 2 - 1


def repeated(n: int, bits: int, different: int) -> Array:
    return drawn(different, bits)[np.random.default_rng(1).integers(0, different, n)]


def half_dead() -> Array:
    codes = drawn(30, 9)
    codes[:, 4:] = 1
    return codes


@pytest.mark.parametrize(
    "codes", [drawn(50, 7), drawn(3, 64), repeated(200, 16, 5), half_dead(), drawn(2, 1), drawn(100, 65, 3)]
)
def test_every_measure_equals_plain_loops(codes: Array) -> None:
    n, bits = codes.shape
    found = balance(codes)
    columns = [[float(value) for value in codes[:, k]] for k in range(bits)]
    means = [math.fsum(column) / n for column in columns]
    assert found.bit_means == pytest.approx(means, abs=1e-12)
    assert found.bit_imbalance == pytest.approx(sum(map(abs, means)) / bits, abs=1e-12)
    assert found.dead_bits == sum(len(set(column)) == 1 for column in columns)
    alive = [k for k in range(bits) if len(set(columns[k])) == 2]
    pairs = [abs(np.corrcoef(columns[a], columns[b])[0, 1]) for a, b in itertools.combinations(alive, 2)]
    assert found.bit_correlation == (pytest.approx(np.mean(pairs), abs=1e-9) if pairs else None)
    counts = Counter(map(tuple, codes.tolist()))
    assert found.distinct_codes == len(counts)
    assert found.code_entropy == pytest.approx(-sum(c / n * math.log2(c / n) for c in counts.values()), abs=1e-9)
    same = sum((codes[i] == codes[j]).all() for i, j in itertools.combinations(range(n), 2))
    assert found.collision_rate == pytest.approx(same / (n * (n - 1) / 2), abs=1e-12)


def test_hadamard_codes_and_their_negatives_are_perfectly_balanced() -> None:
    codes = np.concatenate([hadamard(16), -hadamard(16)])
    found = balance(codes)
    assert (found.bit_imbalance, found.bit_correlation, found.dead_bits) == (0, 0, 0)
    assert (found.distinct_codes, found.code_entropy, found.collision_rate) == (32, 5, 0)


def test_collapsed_codes() -> None:
    found = balance(np.ones((10, 8)))
    assert found.numbers() == {
        "bit_imbalance": 1.0, "dead_bits": 8, "bit_correlation": None,
        "code_entropy": 0.0, "distinct_codes": 1, "collision_rate": 1.0,
    }  # fmt: skip
    assert math.copysign(1, found.code_entropy) == 1


def test_uniform_codes_come_close_to_the_ideal() -> None:
    found = balance(drawn(20_000, 64))
    assert found.bit_imbalance < 0.01 and found.bit_correlation is not None and found.bit_correlation < 0.01
    assert found.code_entropy == pytest.approx(math.log2(20_000), abs=0.01)


def test_bool_and_one_code() -> None:
    codes = drawn(20, 12)
    assert balance(codes > 0).numbers() == balance(codes).numbers()
    assert balance(codes[:1]).collision_rate == 0


@pytest.mark.parametrize("wrong", [np.zeros((3, 4)), np.ones(4), np.ones((0, 4)), np.full((2, 2), np.nan)])
def test_wrong_codes_are_named_in_one_line(wrong: Array) -> None:
    with pytest.raises(UserError, match=r"^codes: expected [^\n]*$"):
        balance(wrong)
