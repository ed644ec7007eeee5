"""What methods without labels promise: no label is read, finite gradients, and views that the loop gives them."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline import datasets, methods, protocols, quantizers
from pipeline.encoding import device as devices
from pipeline.encoding.head import LINEAR, make_head, of_method
from pipeline.encoding.network import FeatureNetwork, HashNetwork, build
from pipeline.preparation.arrays import Prepared
from pipeline.preparation.splits import Split
from pipeline.runtime.errors import UserError
from pipeline.training.history import History
from pipeline.training.loop import Trainer
from pipeline.training.objective import losses
from tests.losses import UNSUPERVISED, hyperparameters, is_tested, outputs, seeded, wrong_values
from tests.messages import one_line

BITS, CLASSES, FEATURES = 16, 4, 10
every_method = pytest.mark.parametrize("name", UNSUPERVISED)
both_precisions = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])


def create(name: str, bits: int = BITS, **given: Any) -> methods.Method:
    return methods.create(name, code_length=bits, num_classes=CLASSES, num_train=100, **given)


def batch(method: methods.Method, images: int, scale: float = 1.0, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Outputs of all views, what the method gets as labels, and indices. Labels that must not be read are NaN."""
    first = outputs(images, method.code_length, seed).float()
    views = [scale * (first + 0.3 * outputs(images, method.code_length, seed + 1 + v)) for v in range(method.views)]
    features = method.supervision == "features"
    labels = outputs(images, FEATURES, 9) if features else torch.full((images, CLASSES), torch.nan)
    count = method.views
    return torch.cat(views).float(), labels.float().repeat(count, 1), torch.arange(images).repeat(count)


def test_every_method_has_a_test_of_its_own() -> None:
    assert [name for name in UNSUPERVISED if not is_tested("methods", name)] == []


@both_precisions
@pytest.mark.parametrize("images", [1, 2, 5, 8])
@pytest.mark.parametrize("scale", [0.0, 1.0, 1e2, 1e4], ids=["all at the origin", "usual", "far out", "very far out"])
@every_method
def test_losses_are_finite_numbers_with_a_gradient(name: str, scale: float, images: int, dtype: torch.dtype) -> None:
    method = create(name)
    u, labels, indices = batch(method, images, scale)
    u = u.to(dtype).requires_grad_()
    method.prime(u.detach().float(), labels)
    method.start_epoch(0)
    parts = [loss(u, labels, indices) for loss in (method.similarity_loss, method.quantization_loss)]
    for part in parts:
        assert part.shape == () and part.isfinite() and part.dtype == torch.float32
    (gradient,) = torch.autograd.grad(parts[0] + parts[1], u)
    assert gradient.dtype == dtype and gradient.isfinite().all()
    if scale == 1 and images > 2:
        assert gradient.any()
    assert method.relax(u).abs().max() <= 1
    method.end_epoch(0)


@every_method
def test_images_may_be_in_any_order(name: str) -> None:
    method = create(name)
    u, labels, indices = batch(method, 8)
    order = torch.randperm(8, generator=seeded())
    every = torch.cat([order + 8 * view for view in range(method.views)])
    for loss in (method.similarity_loss, method.quantization_loss):
        there = loss(u[every], labels[every], indices[every])
        assert there.item() == pytest.approx(loss(u, labels, indices).item(), rel=1e-5)


@pytest.mark.parametrize("quantizer", [name for name in quantizers.names()])
@every_method
def test_a_step_of_every_pair_reduces_the_loss(name: str, quantizer: str) -> None:
    method, made = create(name), quantizers.create(quantizer)
    u, labels, indices = batch(method, 32, 0.3)
    u.requires_grad_()

    def loss() -> Tensor:
        return losses(method, made, quantizer, (u, labels, indices), seeded())["loss"]

    before = loss()
    (gradient,) = torch.autograd.grad(before, u)
    with torch.no_grad():
        u -= 0.02 * gradient.sign()
    assert loss() < before


@every_method
def test_hyperparameters_out_of_range_are_refused(name: str) -> None:
    found = hyperparameters(methods.kind(name))
    for key in set(found) - {"code_length", "num_classes", "num_train"}:
        for value in wrong_values(found[key]):
            with pytest.raises(UserError) as error:
                create(name, **{key: value})
            one_line(error, repr(name), key, repr(value))


@every_method
def test_wrong_shapes_are_refused(name: str) -> None:
    method = create(name)
    u, labels, indices = batch(method, 4)
    for wrong in ((u[:, 1:], labels, indices), (u, labels[1:], indices), (u, labels, indices[1:])):
        with pytest.raises(UserError):
            losses(method, quantizers.create("none"), "none", wrong, seeded())


# In the loop.

SETTINGS: dict[str, Any] = {
    "epochs": 6,
    "batch_size": 64,
    "optimizer": {
        "name": "adam",
        "learning_rate": 0.005,
        "backbone_scale": 1.0,
        "weight_decay": 0.0,
        "schedule": "cosine",
    },
    "augmentation": {"crop_padding": 1, "flip": False},
    "selection": "last",
    "validate_every": 6,
}
CPU = devices.Compute(torch.device("cpu"), "float32")


@pytest.fixture(scope="module")
def digits() -> tuple[Prepared, Split]:
    """Images (n, 8, 8, 3) of uint8."""
    dataset = datasets.create("digits", path=None)
    images = np.stack([np.array(dataset.image(row).convert("RGB")) for row in range(len(dataset.ids))])
    data = Prepared(images, dataset.labels, {})
    counts = {"query": 20, "validation": 20, "train": 60}
    return data, protocols.create("counts", per_class=counts).split(data.labels, [], 0)


def fitted(name: str, network: HashNetwork, data: Prepared, split: Split) -> tuple[float, list[Any]]:
    """The validation mAP after training, and the batches that the method got."""
    method = methods.create(name, code_length=BITS, num_classes=10, num_train=len(split.train))
    seen, original = list[Any](), method.similarity_loss

    def watched(u: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        seen.append((u.detach(), labels, indices))
        return original(u, labels, indices)

    method.similarity_loss = watched  # type: ignore[method-assign]
    quantizer = quantizers.create("original")
    trainer = Trainer(network, method, quantizer, data, split, SETTINGS, quantizer_name="original", seed=0)
    return trainer.fit(History()).validation_map, seen


def vectors(data: Prepared) -> Prepared:
    """The pixels as features (n, 2, 64) float32 of two views, of which the second is mirrored in a way."""
    features = data.images[..., :1].reshape(len(data.labels), 1, 64).astype(np.float32)
    return Prepared(np.concatenate([features, features[..., ::-1]], axis=1), data.labels, {})


@pytest.mark.parametrize("name", [name for name in UNSUPERVISED if methods.kind(name).views == 2])
def test_the_loop_gives_two_views_of_each_image(name: str, digits: tuple[Prepared, Split]) -> None:
    """By augmentation."""
    devices.make_deterministic(0, CPU.device)
    section: Any = {"name": "cnn", "weights": "none", "input_size": 8}
    head = of_method({"head": LINEAR}, name)  # type: ignore[typeddict-item]
    _, seen = fitted(name, build(section, BITS, CPU, head), *digits)
    assert len(seen) == 6 * 9
    for u, labels, indices in seen:
        assert u.shape == (128, BITS) and labels.shape == (128, 10)
        assert torch.equal(indices[:64], indices[64:])
        assert not torch.equal(u[:64], u[64:])


@pytest.mark.parametrize("name", [name for name in UNSUPERVISED if methods.kind(name).views == 2])
def test_two_views_of_stored_features_differ_for_every_image(name: str, digits: tuple[Prepared, Split]) -> None:
    """Without dropout, which would make them differ anyway."""
    data, split = digits
    devices.make_deterministic(0, CPU.device)
    _, seen = fitted(name, FeatureNetwork(make_head(LINEAR, 64, BITS), BITS, CPU), vectors(data), split)
    for u, _, _ in seen:
        assert bool((u[:64] != u[64:]).any(dim=1).all())


@every_method
def test_a_head_learns_from_features_alone(name: str, digits: tuple[Prepared, Split]) -> None:
    """Two views by dropout where a method wants them. The mAP is 0.23 to 0.27 before training."""
    data, split = digits
    features = vectors(data)
    one = Prepared(features.images[:, :1], data.labels, {})
    devices.make_deterministic(0, CPU.device)
    section = of_method({"head": {"hidden": [128], "dropout": 0.3, "normalize": "standardize"}}, name)  # type: ignore[typeddict-item]
    found, seen = fitted(name, FeatureNetwork(make_head(section, 64, BITS), BITS, CPU), one, split)
    assert found > 0.4
    assert {len(u) for u, _, _ in seen} == {64 * methods.kind(name).views}


def test_features_are_of_the_view_of_the_whole_image(digits: tuple[Prepared, Split]) -> None:
    data, split = digits
    features = vectors(data)
    devices.make_deterministic(0, CPU.device)
    _, seen = fitted("bihalf", FeatureNetwork(make_head(LINEAR, 64, BITS), BITS, CPU), features, split)
    for _, labels, indices in seen:
        assert np.array_equal(labels.numpy(), features.images[split.train[indices.numpy()], 0])
