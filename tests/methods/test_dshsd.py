"""DSHSD: its equation as loops, and which classification it takes."""

import math

import pytest
import torch

from pipeline.methods.dshsd import DSHSD
from tests.losses import dot, made, mean, overlap, rows


@pytest.mark.parametrize("multi", [False, True])
def test_similarity_is_its_equation(multi: bool) -> None:
    method, _, _, u, labels, indices = made(DSHSD, multi=multi, batch=12, alpha=0.3, margin=1.0)
    codes, own = [[math.tanh(x) for x in row] for row in rows(u)], rows(labels)
    weight, classes, pairs = rows(method.classifier.weight), [], []
    for i in range(12):
        logits = [dot(weights, codes[i]) for weights in weight]
        if multi:
            chances = [1 / (1 + math.exp(-z)) for z in logits]
            classes.append(-sum(math.log(p if y else 1 - p) for p, y in zip(chances, own[i], strict=True)))
        else:
            classes.append(math.log(sum(math.exp(z) for z in logits)) - logits[own[i].index(1.0)])
        for j in range(12):
            if i != j:
                distance = sum((a - b) ** 2 for a, b in zip(codes[i], codes[j], strict=True))
                pairs.append((distance if overlap(own[i], own[j]) else max(6 * 1.0 - distance, 0)) / 2)
    expected = mean(classes) + 0.3 * mean(pairs)
    assert method.similarity_loss(u, labels, indices).item() == pytest.approx(expected, abs=1e-6)


def test_there_is_no_own_term() -> None:
    method, _, _, u, labels, indices = made(DSHSD)
    assert method.quantization_loss(u, labels, indices).item() == 0


def test_the_training_set_chooses_the_classification() -> None:
    one, first, every_label, u, labels, indices = made(DSHSD, multi=False)
    single = one.similarity_loss(u, labels, indices)
    every_label[-1] = 1
    one.prime(first, every_label)
    assert not torch.allclose(one.similarity_loss(u, labels, indices), single)
