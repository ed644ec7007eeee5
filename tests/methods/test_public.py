"""Gradients of methods' losses beside those that public code gives on the same inputs.

``tests/golden/public.json`` holds these gradients with the repository, commit and file that gave them: its loss was
called on the inputs below, in float64, with the settings below, and its stored outputs and parameters were set to these
inputs.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from pipeline import methods
from pipeline.methods import Method
from tests.golden import uniform

FILE = Path(__file__).parents[1] / "golden" / "public.json"
B, N, C, K = 8, 12, 4, 12
#: Outputs and labels of a batch, which is the first part of the training set, and of the whole training set.
U, EVERY_U = uniform(50, B, K), uniform(51, N, K)
EVERY_LABEL = torch.eye(C, dtype=torch.float64)[torch.arange(N) % C]
LABELS = EVERY_LABEL[:B]
#: Some images with several labels.
SEVERAL = torch.maximum(LABELS, (uniform(53, B, C) > 0.8).double())
#: Public code takes a batch's mean over all pairs (i, j), where ours is over i != j.
PAIRS = B * B / (B * (B - 1))


def no_centers(method: Method) -> None:
    """As in the first step of the public code."""
    method.relaxed_centers.zero_()


def given_classifier(method: Method) -> None:
    method.classifier.weight.data.copy_(uniform(52, C, K))


def compared(method: Method) -> None:
    method.start_epoch(1)


#: Settings that public code has by default, what is to be done after ``prime``, and by how much our gradient is larger.
CASES: dict[str, tuple[dict[str, Any], Callable[[Method], None] | None, float]] = {
    "cibhash": ({}, None, 1.0),  # the batch's halves are two views
    "crovca": ({}, None, 1.0),  # likewise; the code's whole step was called, with views as the network's outputs
    "dfh": ({}, no_centers, 1.0),
    "dpn": ({}, None, 1.0),
    "dpsh": ({}, None, 1.0),
    # Public code stores one side of a pair, which has no gradient then; ours is divided by K.
    "dsh": ({"alpha": 0.0}, None, 2 * PAIRS / K),
    "dshsd": ({"alpha": 0.05 / PAIRS}, given_classifier, 1.0),
    # This public code, unlike the authors', has a bank and a slope that isn't divided by K.
    "idhn": ({"alpha": 0.5 * K, "quantization": 0.1}, None, 1.0),
    "mdsh": ({}, compared, 1.0),
    "orthohash": ({}, None, 1.0),
    "qsmih": ({"quantization": 0.0}, None, 1.0),
}


@pytest.mark.parametrize("name", CASES)
def test_gradient_is_that_of_public_code(name: str) -> None:
    kept = json.loads(FILE.read_text(encoding="utf-8"))[name]
    settings, prepare, factor = CASES[name]
    method = methods.create(name, code_length=K, num_classes=C, num_train=N, **settings).double()
    method.prime(EVERY_U, EVERY_LABEL)
    if prepare:
        prepare(method)
    u: Tensor = U.clone().requires_grad_()
    batch = u, SEVERAL if name == "orthohash" else LABELS, torch.arange(B)
    loss = method.similarity_loss(*batch) + method.quantization_loss(*batch)
    (gradient,) = torch.autograd.grad(loss, u)
    # Public code of IDHN adds 1e-5 to the norm of label vectors.
    tolerance = 1e-7 if name == "idhn" else 1e-9
    wanted = factor * torch.tensor(kept["gradient"], dtype=torch.float64)
    assert torch.allclose(gradient, wanted, rtol=1e-6, atol=tolerance)


def test_every_kept_gradient_is_compared() -> None:
    assert set(json.loads(FILE.read_text(encoding="utf-8"))) == set(CASES)
