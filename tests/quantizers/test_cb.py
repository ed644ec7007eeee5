"""CB: its equation as loops, where it vanishes, and that nothing in it is random."""

import pytest
import torch
from torch import Tensor

from pipeline import quantizers
from tests.losses import dot, mean, outputs, rows, seeded, signs


def hadamard(size: int) -> Tensor:
    matrix = torch.ones(1, 1, dtype=torch.float64)
    while len(matrix) < size:
        matrix = torch.cat([torch.cat([matrix, matrix], 1), torch.cat([matrix, -matrix], 1)])
    return matrix


def test_term_is_its_equation() -> None:
    h = torch.tanh(outputs(7, 3))
    bits = rows(h.T)
    balance = mean([mean(bit) ** 2 for bit in bits])
    correlation = 0.0
    for k in range(3):
        for other in range(3):
            correlation += (dot(bits[k], bits[other]) / 7 - (k == other)) ** 2 / 9
    assert quantizers.create("cb")(h).item() == pytest.approx(balance + correlation, abs=1e-6)


def test_term_is_zero_for_a_hadamard_matrix_and_its_negative() -> None:
    matrix, quantizer = hadamard(8), quantizers.create("cb")
    assert quantizer(torch.cat([matrix, -matrix])).item() == 0
    assert quantizer(matrix).item() == pytest.approx(1 / 8)  # its first column is all +1
    assert quantizer(torch.ones(16, 8)).item() == pytest.approx(1 + 7 / 8)  # all bits equal, all off-diagonals 1


def test_nothing_is_drawn() -> None:
    quantizer, h = quantizers.create("cb"), torch.tanh(outputs(6, 4))
    generator = seeded()
    state = generator.get_state()
    assert torch.equal(quantizer(h, targets=signs(6, 4), generator=generator), quantizer(h))
    assert torch.equal(state, generator.get_state())
