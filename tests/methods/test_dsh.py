"""DSH: its equations as loops, and what becomes of a lone image."""

import pytest

from pipeline.methods.dsh import DSH
from tests.losses import a_lone_image_costs_nothing, made, mean, overlap, rows


@pytest.mark.parametrize("multi", [False, True])
def test_similarity_is_the_contrastive_loss(multi: bool) -> None:
    method, _, _, u, labels, indices = made(DSH, multi=multi, batch=12, margin=1.0)
    codes, terms = rows(u), []
    for i in range(12):
        for j in range(12):
            if i != j:
                distance = sum((a - b) ** 2 for a, b in zip(codes[i], codes[j], strict=True))
                alike = overlap(rows(labels)[i], rows(labels)[j])
                terms.append(distance / 2 if alike else max(6 * 1.0 - distance, 0) / 2)
    assert method.similarity_loss(u, labels, indices).item() == pytest.approx(mean(terms) / 6, abs=1e-6)


def test_own_term_is_its_equation() -> None:
    method, _, _, u, labels, indices = made(DSH, alpha=0.3)
    terms = [abs(abs(x) - 1) for row in rows(u) for x in row]
    assert method.quantization_loss(u, labels, indices).item() == pytest.approx(0.6 * mean(terms), abs=1e-6)


def test_a_lone_image_has_no_pairs() -> None:
    a_lone_image_costs_nothing(DSH)
