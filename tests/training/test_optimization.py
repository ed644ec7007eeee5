"""Every optimizer and schedule takes the steps of PyTorch's own; every selection rule keeps the epoch that it names."""

from typing import Any

import numpy as np
import pytest
import torch

from pipeline import methods, protocols
from pipeline.codes import sign
from pipeline.encoding.device import choose
from pipeline.encoding.encode import outputs
from pipeline.encoding.network import HashNetwork, build
from pipeline.preparation.arrays import Prepared
from pipeline.retrieval import evaluate
from pipeline.training import optimization
from pipeline.training.selection import Selection

STEPS = 6
BACKBONE = {"name": "cnn", "weights": "none", "input_size": 8}
COMPUTE = {"device": "cpu", "precision": "float32", "numerics": "portable", "threads": 1}

REFERENCE: dict[str, Any] = {
    "adam": lambda groups, decay: torch.optim.Adam(groups, weight_decay=decay),
    "adamw": lambda groups, decay: torch.optim.AdamW(groups, weight_decay=decay),
    "sgd": lambda groups, decay: torch.optim.SGD(groups, momentum=0.9, weight_decay=decay),
}


def network() -> HashNetwork:
    torch.manual_seed(3)
    return build(BACKBONE, 8, choose(COMPUTE))


def steps(made: HashNetwork, optimizer: Any, rates: Any) -> dict[str, torch.Tensor]:
    """The weights after a few steps on fixed images."""
    images = torch.linspace(-1, 1, 4 * 3 * 64, dtype=torch.float64).reshape(4, 3, 8, 8)
    for _ in range(STEPS):
        optimizer.zero_grad()
        made.head(made.backbone(images)).square().mean().backward()
        optimizer.step()
        rates()
    return {name: value.detach().clone() for name, value in made.named_parameters()}


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
@pytest.mark.parametrize("name", optimization.OPTIMIZERS)
def test_steps_are_those_of_pytorchs_optimizer(name: str, schedule: str) -> None:
    section = {
        "name": name, "learning_rate": 0.01, "backbone_scale": 0.1, "weight_decay": 0.02, "schedule": schedule,
    }  # fmt: skip
    # In float64: an optimizer divides by the size of the gradient, so rounding decides where that is close to 0.
    ours = network().double()
    method = methods.create("csq", code_length=8, num_classes=4, num_train=4)
    optimizer, scheduler = optimization.make(section, ours, method, STEPS)
    found = steps(ours, optimizer, scheduler.step)

    plain = network().double()
    groups = [
        {"params": list(plain.head.parameters()), "lr": 0.01},
        {"params": list(plain.backbone.parameters()), "lr": 0.001},
    ]
    reference = REFERENCE[name](groups, 0.02)
    done = 0

    def anneal() -> None:
        """The learning rates of the cosine schedule, (1 + cos(pi t / T)) / 2 of the first."""
        nonlocal done
        done += 1
        factor = (1 + np.cos(np.pi * done / STEPS)) / 2 if schedule == "cosine" else 1.0
        for group, first in zip(reference.param_groups, (0.01, 0.001), strict=True):
            group["lr"] = first * factor

    expected = steps(plain, reference, anneal)
    before = dict(network().double().named_parameters())
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=1e-9, atol=1e-12)
    assert any(not torch.equal(found[key], before[key]) for key in found)


@pytest.fixture(scope="module")
def data() -> tuple[Prepared, Any]:
    random = np.random.default_rng(0)
    labels = np.eye(4, dtype=np.uint8)[np.arange(120) % 4]
    images = random.integers(0, 256, (120, 8, 8, 3), dtype=np.uint8)
    split = protocols.create("counts", per_class={"query": 5, "validation": 5, "train": 15}).split(labels, [], 0)
    return Prepared(images, labels, {"content_hash": "x"}), split


def ranking(made: HashNetwork, data: Prepared, query: Any, database: Any) -> float:
    """mAP of one part of a dataset ranked for another, step by step."""
    codes = sign(outputs(made, data.images, np.arange(len(data.images)), torch.device("cpu")).numpy())
    found = evaluate(codes[query], data.labels[query], codes[database], data.labels[database], precision_at=())
    return found.mean_average_precision


def test_each_rule_scores_an_epoch_by_what_it_names(data: tuple[Prepared, Any]) -> None:
    prepared, split = data
    made = network().eval()
    rules = {rule: Selection(rule, prepared, split, torch.device("cpu")) for rule in ("validation", "last", "test")}
    validation = rules["validation"].validation_map(made)
    assert validation == ranking(made, prepared, split.validation, split.train)
    assert rules["validation"].score(made, 3, validation) == validation
    assert rules["last"].score(made, 3, validation) == 3.0 > rules["last"].score(made, 2, validation)
    assert rules["test"].score(made, 3, validation) == ranking(made, prepared, split.query, split.database)
