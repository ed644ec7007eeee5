"""Heads on features: normalization, hidden layers, views, and what a study with a frozen backbone does."""

from copy import deepcopy
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from pipeline import backbones
from pipeline.encoding import images as image_module
from pipeline.encoding.augmentation import stored_views
from pipeline.encoding.device import Compute
from pipeline.encoding.head import LINEAR, Standardize, make_head, of_method
from pipeline.encoding.images import inputs as on_device
from pipeline.encoding.network import FeatureNetwork, build, with_backbone
from pipeline.features.views import Featured, Views, inputs
from pipeline.params import check
from pipeline.preparation import arrays, splits
from pipeline.runtime.errors import UserError
from pipeline.runtime.layout import Cell, Layout
from pipeline.runtime.outputs import read_json
from stages import encode, evaluate, features, prepare, split, tune
from stages import train as training
from tests.conftest import at
from tests.features.test_extraction import frozen

CPU = Compute(torch.device("cpu"), "float32")
CELL = Cell("csq", "wr", 16, 0)
ARGUMENTS = ["--method", "csq", "--quantizer", "wr", "--bits", "16", "--seed", "0"]


def head(**given: Any) -> Any:
    return {**LINEAR, **given}


def test_no_hidden_layer_is_one_linear_layer() -> None:
    made = make_head(LINEAR, 20, 8)
    assert isinstance(made, nn.Linear) and made.weight.shape == (8, 20)


def test_a_networks_weights_are_named_as_before() -> None:
    section: Any = {"name": "cnn", "weights": "none", "input_size": 8, "frozen": False}
    names = build(section, 8, CPU).state_dict()
    assert {"head.weight", "head.bias"} == {name for name in names if name.startswith("head.")}


def test_hidden_layers_have_relu_and_dropout() -> None:
    made = make_head(head(hidden=[30, 10], dropout=0.25), 20, 8)
    kinds = [type(layer).__name__ for layer in made]  # type: ignore[arg-type]
    assert kinds == ["Linear", "ReLU", "Dropout", "Linear", "ReLU", "Dropout", "Linear"]
    assert made[2].p == 0.25  # type: ignore[index]
    assert [layer.weight.shape for layer in made if isinstance(layer, nn.Linear)] == [(30, 20), (10, 30), (8, 10)]  # type: ignore[attr-defined]


def test_outputs_have_unit_variance_for_unit_features() -> None:
    torch.manual_seed(0)
    outputs = make_head(LINEAR, 1000, 64)(torch.randn(500, 1000))
    assert float(outputs.std()) == pytest.approx(1, abs=0.05)


def test_standardized_features_have_mean_0_and_deviation_1_on_the_training_set() -> None:
    random = np.random.default_rng(0)
    found = (1e4 + random.normal(size=(500, 1, 6)) * [1, 2, 3, 0, 1e-3, 50]).astype(np.float32)
    network = FeatureNetwork(make_head(head(normalize="standardize"), 6, 4), 4, CPU)
    rows = np.arange(0, 500, 2)
    network.adapt(on_device(found, rows, torch.device("cpu")))
    (layer,) = [layer for layer in network.modules() if isinstance(layer, Standardize)]
    own = found[rows, 0].astype(np.float64)
    np.testing.assert_allclose(layer.mean, own.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(
        layer.deviation, [own[:, i].std() if own[:, i].std() else 1 for i in range(6)], rtol=1e-3
    )
    standardized = layer(torch.from_numpy(found[rows, 0]))
    assert float(standardized[:, :3].mean().abs()) < 1e-3
    assert (standardized[:, 3] == 0).all(), "a constant feature"


def test_the_statistics_are_stored_with_the_weights() -> None:
    network = FeatureNetwork(make_head(head(normalize="standardize"), 6, 4), 4, CPU)
    assert {"head.0.mean", "head.0.deviation", "head.1.weight", "head.1.bias"} == set(network.state_dict())


def test_features_of_unit_length() -> None:
    made = make_head(head(normalize="l2"), 6, 4)
    normalized = made[0](torch.randn(10, 6) * 100)  # type: ignore[index]
    assert torch.allclose(normalized.norm(dim=1), torch.ones(10))


def test_a_frozen_backbone_stays_in_evaluation_mode() -> None:
    section: Any = {"name": "cnn", "weights": "none", "input_size": 8, "frozen": True}
    network = build(section, 8, CPU).train()
    assert network.training and not network.backbone.training and network.head.training


# Views.


def test_one_view_is_chosen_for_each_image() -> None:
    found = torch.arange(2000.0).view(1000, 2, 1)
    (chosen,) = stored_views(found, torch.Generator().manual_seed(0), 1)
    second = (chosen % 2).mean()
    assert torch.equal(chosen.squeeze(1) // 2, torch.arange(1000.0)) and 0.4 < float(second) < 0.6


@pytest.mark.parametrize("stored", [2, 3])
def test_two_views_of_an_image_are_different_ones(stored: int) -> None:
    found = torch.arange(1000.0 * stored).view(1000, stored, 1)
    first, second = stored_views(found, torch.Generator().manual_seed(0), 2)
    pairs = list(product(range(stored), repeat=2))
    counts = dict.fromkeys(pairs, 0)
    for image, (a, b) in enumerate(zip(first[:, 0].tolist(), second[:, 0].tolist(), strict=True)):
        counts[int(a) - image * stored, int(b) - image * stored] += 1
    expected = 1000 / (stored * (stored - 1))
    for (a, b), number in counts.items():
        assert number == 0 if a == b else abs(number - expected) < 0.25 * expected


@pytest.mark.parametrize("count", [1, 2])
def test_views_of_one_stored_view_are_this_one(count: int) -> None:
    found = torch.arange(100.0).view(100, 1, 1)
    views = stored_views(found, torch.Generator(), count)
    assert len(views) == count and all(torch.equal(view, found[:, 0]) for view in views)


def test_several_views_are_read_like_one_array(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    plain, mirrored = (random.normal(size=(50, 3)).astype(np.float32) for _ in range(2))
    both, rows = Views([plain, mirrored]), np.array([7, 3, 3, 49])
    assert (both.shape, len(both), both.dtype) == ((50, 2, 3), 50, np.float32)
    assert np.array_equal(both[rows], np.stack([plain[rows], mirrored[rows]], axis=1))
    for free in (1 << 40, 0):  # held on the device, or read for each batch
        monkeypatch.setattr(image_module, "_free", lambda device, free=free: free)
        source = on_device(both, rows, torch.device("cpu"))  # type: ignore[arg-type]
        (batch,) = source.batches([torch.tensor([1, 3])])
        assert np.array_equal(batch, both[np.array([3, 49])])


def test_codes_are_made_of_the_first_view() -> None:
    network = FeatureNetwork(make_head(LINEAR, 3, 4), 4, CPU).eval()
    found = torch.randn(5, 2, 3)
    assert torch.equal(network(found), network(found[:, 0]))


# A study, by the stages that `dvc repro` runs.


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Any:
    params = frozen()
    params |= {"study": "frozen", "features": {"views": ["plain", "mirrored"]}}
    params["head"] = {"hidden": [32], "dropout": 0.2, "normalize": "standardize"}
    params["grid"]["seeds"] = [0]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("study"))
        patch.setattr("pipeline.runtime.provenance.PROJECT", Path(__file__).parents[2])
        prepare.STAGE.call(params, [])
        for view in params["features"]["views"]:
            features.STAGE.call(params, ["--view", view])
        split.STAGE.call(params, ["--seed", "0"])
        tune.STAGE.call(params, ARGUMENTS[:6])
        # Only the stage features makes the backbone.
        patch.setattr(backbones, "create", lambda *given, **more: pytest.fail("the backbone was made"))
        training.STAGE.call(params, ARGUMENTS)
        encode.STAGE.call(params, ARGUMENTS)
        evaluate.STAGE.call(params, ARGUMENTS)
        patch.undo()
        root = Path(str(tmp_path_factory.getbasetemp())) / "study0"
    return params, Layout("frozen", root)


def test_a_head_learns_from_random_features(study: Any) -> None:
    params, layout = study
    assert read_json(layout.metrics(CELL) / "metrics.json")["map"] > 0.3
    record = read_json(layout.train(CELL) / "training.json")
    assert record["precision"] == "float32"
    assert record["parameters"] == 128 * 32 + 32 + 32 * 16 + 16


def test_statistics_are_of_the_training_images_alone(study: Any) -> None:
    from pipeline.runtime import stored

    params, layout = study
    train = splits.load(layout.split(0)).train
    plain = np.load(layout.features("plain") / "features.npy")[train].astype(np.float64)
    np.testing.assert_allclose(stored.weights(layout.train(CELL) / "weights.safetensors")["head.0.mean"],
                               plain.mean(axis=0), rtol=1e-4, atol=1e-6)  # fmt: skip


def test_the_whole_network_gives_the_cells_codes_from_images(study: Any) -> None:
    from pipeline.codes import pack, sign

    params, layout = study
    network = with_backbone(params, CELL.group, CPU, layout.train(CELL) / "weights.safetensors")
    database, codes = splits.load(layout.split(0)).database, np.load(layout.codes(CELL) / "database_codes.npy")
    images = torch.from_numpy(np.array(arrays.load(layout.data).images[database])).permute(0, 3, 1, 2)
    with torch.no_grad():
        u = network(images).numpy()
    bits = np.unpackbits(pack(sign(u)) ^ codes, axis=1).astype(bool)
    assert np.abs(u[bits]).max(initial=0) < 1e-3, "only bits whose output is close to 0 may differ"
    assert bits.mean() < 1e-3


def test_changed_features_are_refused(study: Any) -> None:
    params, layout = study
    data = inputs(params, layout)
    assert (data.images.shape[1], inputs(params, layout, training=False).images.shape[1]) == (2, 1)
    assert isinstance(data, Featured) and data.ids == arrays.load(layout.data).ids
    data.check()
    file = layout.features("mirrored") / "features.npy"
    before = file.read_bytes()
    try:
        changed = np.load(file)
        changed[300] += 1
        np.save(file, changed)
        arrays._checked.clear()
        with pytest.raises(UserError, match="mirrored"):
            inputs(params, layout).check()
    finally:
        file.write_bytes(before)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("features.views", [], "features.views: expected [plain] or [plain, mirrored], since backbone.frozen is true"),
        ("features.views", ["mirrored"], "features.views: expected [plain] or [plain, mirrored]"),
        ("backbone.frozen", False, "features.views: expected [], since backbone.frozen is false; found ['plain']"),
        ("training.augmentation.crop_padding", 2, "expected 0, since the features of a frozen backbone can't be"),
        ("training.augmentation.flip", True, "[plain, mirrored] does the same"),
        ("head.dropout", 1.0, "head.dropout: expected less than 1; found 1.0"),
        ("head.hidden", [0], "head.hidden.0: expected greater than 0; found 0"),
        ("head.normalize", "whiten", "head.normalize: expected one of standardize, l2, none; found 'whiten'"),
    ],
)
def test_what_contradicts_a_frozen_backbone_is_one_line(path: str, value: Any, said: str) -> None:
    content = frozen()
    place, last = at(content, path)
    place[last] = value
    (problem,) = check(content)
    assert said in problem


def test_statistics_need_a_frozen_backbone() -> None:
    content = frozen()
    content["backbone"]["frozen"], content["features"]["views"] = False, []
    assert check(content) == []
    content["head"]["normalize"] = "standardize"
    (problem,) = check(content)
    assert "head.normalize: expected l2 or none" in problem


def test_methods_that_compare_two_views_need_views_that_differ() -> None:
    content = frozen()
    content["grid"]["methods"], content["visualize"]["methods"] = ["cibhash"], ["cibhash"]
    content["head"] |= {"hidden": [16], "dropout": 0.0}
    (problem,) = check(content)
    assert problem.startswith(
        "grid.methods: cibhash compares two views of each image, which are the same here; expected"
    )
    for section, key, value in (("head", "dropout", 0.5), ("features", "views", ["plain", "mirrored"])):
        changed = deepcopy(content)
        changed[section][key] = value
        assert check(changed) == []
    content["head"] |= {"hidden": [], "dropout": 0.5}
    (problem,) = check(content)
    assert "are the same here" in problem, "a head without hidden layers has no dropout"
    content["backbone"]["frozen"], content["features"]["views"] = False, []
    content["training"]["augmentation"]["flip"] = True
    assert check(content) == []


def test_a_method_that_compares_codes_with_features_needs_a_frozen_backbone() -> None:
    content = frozen()
    content["grid"]["methods"], content["visualize"]["methods"] = ["bihalf"], ["bihalf"]
    assert check(content) == []
    content["backbone"]["frozen"], content["features"]["views"] = False, []
    (problem,) = check(content)
    assert problem == (
        "grid.methods: bihalf compares codes with the features of a frozen backbone; expected backbone.frozen: true"
    )


@pytest.mark.parametrize(
    ("method", "kind"), [("orthohash", "BatchNorm1d"), ("crovca", "BatchNorm1d"), ("csq", "Linear")]
)
def test_methods_with_a_batch_normalization_get_it_after_the_last_layer(method: str, kind: str) -> None:
    made = make_head(of_method({"head": head(hidden=[16])}, method), 8, 4)  # type: ignore[typeddict-item]
    assert isinstance(made, torch.nn.Sequential)
    assert type(made[-1]).__name__ == kind
    assert all(layer.affine and layer.num_features == 4 for layer in made if isinstance(layer, torch.nn.BatchNorm1d))
