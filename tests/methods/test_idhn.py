"""IDHN: both of its pairs' costs as loops, and training sets without soft pairs."""

import math

import pytest
import torch

from pipeline.methods.idhn import IDHN
from tests.losses import dot, made, mean, rows, stored


@pytest.mark.parametrize("multi", [False, True])
def test_similarity_is_its_equation(multi: bool) -> None:
    method, first, every_label, u, labels, indices = made(IDHN, multi=multi, alpha=0.7, gamma=0.3)
    assert method.has_soft_pairs == multi
    others = stored(first, u, indices)
    terms, soft = [], 0
    for row, own in zip(rows(u), rows(labels), strict=True):
        for other, its in zip(others, rows(every_label), strict=True):
            inner = dot([x / (1 + abs(x)) for x in row], [x / (1 + abs(x)) for x in other])
            s = dot(own, its) / math.sqrt(dot(own, own) * dot(its, its))
            if s < 1e-9 or s > 1 - 1e-9:
                terms.append(math.log(1 + math.exp(0.7 * inner)) - round(s) * 0.7 * inner)
            else:
                soft += 1
                terms.append(0.3 / 6 * ((inner + 6) / 2 - 6 * s) ** 2)
    assert bool(soft) == multi
    assert method.similarity_loss(u, labels, indices).item() == pytest.approx(mean(terms), abs=1e-6)


def test_own_term_is_its_equation() -> None:
    method, _, _, u, labels, indices = made(IDHN, quantization=0.7)
    terms = [abs(abs(x) / (1 + abs(x)) - 1) for row in rows(u) for x in row]
    assert method.quantization_loss(u, labels, indices).item() == pytest.approx(0.7 * mean(terms), abs=1e-6)


def test_relaxed_codes_are_softsign() -> None:
    method = IDHN(code_length=3, num_classes=2, num_train=4)
    assert torch.allclose(method.relax(torch.tensor([[-3.0, 0.0, 1.0]])), torch.tensor([[-0.75, 0.0, 0.5]]))
