"""How a method's and a quantizer's terms compose: by the design, for every pair of them, on every batch."""

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline import quantizers
from pipeline.methods import Method
from pipeline.quantizers import Quantizer
from pipeline.training.objective import losses
from tests.losses import BATCHES, TRAINED, outputs, seeded, started

every_method = pytest.mark.parametrize("method_name", TRAINED)
every_quantizer = pytest.mark.parametrize("name", quantizers.names())

#: Whether the method's own term stays, and what the quantizer is given, as design.md and the papers have it.
DESIGN = {
    "none": (False, "relaxed"),
    "original": (True, "relaxed"),
    "wr": (True, "relaxed"),
    "cb": (True, "relaxed"),
    "swd": (False, "raw"),
    "hswd": (False, "raw"),
    "ot": (False, "raw"),
}


class Plain(Method):
    """Losses whose values are told apart at a glance."""

    def similarity_loss(self, u: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        return 100 + u.sum()

    def quantization_loss(self, u: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        return 10 + u.square().sum()


def composed(quantizer: Quantizer, name: str) -> tuple[Tensor, dict[str, Tensor]]:
    u = (2 * outputs()).requires_grad_()
    method = Plain(code_length=8, num_classes=3, num_train=len(u))
    batch = (u, torch.zeros(len(u), 3), torch.arange(len(u)))
    return u, losses(method, quantizer, name, batch, seeded(7))


@pytest.mark.parametrize("name", [name for name, (keeps_own, _) in DESIGN.items() if keeps_own])
def test_own_weight_scales_the_methods_own_term_alone(name: str) -> None:
    one, half = (composed(quantizers.create(name, own_weight=weight), name)[1] for weight in (1.0, 0.5))
    assert torch.equal(half["own_quantization"], one["own_quantization"])
    assert float(one["loss"] - half["loss"]) == pytest.approx(float(one["own_quantization"]) / 2)


@pytest.mark.parametrize("name", DESIGN)
def test_composition_is_that_of_the_design(name: str) -> None:
    quantizer = quantizers.create(name)
    keeps_own, input = DESIGN[name]
    u, parts = composed(quantizer, name)
    expected = {"similarity": 100 + u.sum()}
    total = expected["similarity"]
    if keeps_own:
        expected["own_quantization"] = 10 + u.square().sum()
        total = total + expected["own_quantization"]
    if name not in ("none", "original"):
        expected[name] = quantizer(u if input == "raw" else torch.tanh(u), generator=seeded(7))
        total = total + quantizer.weight * expected[name]
    assert list(parts) == ["loss", *expected]
    for part, value in expected.items():
        assert parts[part].item() == pytest.approx(value.item(), rel=1e-12), part
    assert parts["loss"].item() == pytest.approx(total.item(), rel=1e-12)
    gradients = [torch.autograd.grad(value, u)[0] for value in (parts["loss"], total)]
    np.testing.assert_allclose(gradients[0].numpy(), gradients[1].numpy(), rtol=1e-9)


def test_none_leaves_the_similarity_itself() -> None:
    parts = composed(quantizers.create("none"), "none")[1]
    assert parts["loss"] is parts["similarity"]


@pytest.mark.parametrize("input", ["raw", "relaxed"])
@pytest.mark.parametrize("name", ["wr", "swd", "hswd", "ot", "cb"])
def test_params_can_change_what_a_quantizer_reads_and_weighs(name: str, input: str) -> None:
    quantizer = quantizers.create(name, input=input, weight=0.5)
    u, parts = composed(quantizer, name)
    given = u if input == "raw" else torch.tanh(u)
    assert torch.equal(parts[name], quantizer(given, generator=seeded(7)))
    rest = parts["loss"] - parts["similarity"] - parts.get("own_quantization", torch.zeros(()))
    assert rest.item() == pytest.approx(0.5 * parts[name].item(), rel=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("case", BATCHES)
@every_quantizer
@every_method
def test_total_of_every_pair_is_a_finite_number_that_pulls(
    method_name: str, name: str, case: str, dtype: torch.dtype
) -> None:
    method, u, labels, indices = started(method_name, case)
    quantizer = quantizers.create(name)
    u = u.to(dtype).requires_grad_()
    parts = losses(method, quantizer, name, (u, labels, indices), seeded())
    total = parts["loss"]
    assert total.shape == ()
    assert total.isfinite()
    summed = parts["similarity"] + parts.get("own_quantization", 0) + quantizer.weight * parts.get(name, 0)
    assert total.item() == pytest.approx(summed.item(), rel=1e-6)
    (gradient,) = torch.autograd.grad(total, u)
    assert gradient.dtype == dtype
    assert gradient.isfinite().all()
    # A lone image has no other to be compared with, and a batch may have no triplet: nothing is left where nothing else
    # is added.
    nothing_left = (case == "one image" or method_name == "dtsh") and name == "none" and total == 0
    assert gradient.any() != nothing_left


def test_of_a_lone_image_methods_that_compare_a_batch_ask_nothing() -> None:
    silent = set()
    for name in TRAINED:
        method, u, labels, indices = started(name, "one image")
        if method.similarity_loss(u, labels, indices) == 0:
            silent.add(name)
    known = "adsh csq dbdh dch dhn dpah dsdh dsh dshsd dtsh greedyhash hashcoder hashnet orthohash qsmih"
    assert silent & set(known.split()) == {"dch", "dhn", "dsh", "dtsh"}
