"""Tuning: what is tried, what is chosen, and that no query image has a say in it."""

import csv
import hashlib
import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from pipeline import protocols, quantizers
from pipeline.preparation.arrays import Prepared
from pipeline.runtime.errors import Diverged, UserError
from pipeline.runtime.layout import Cell, Group, Layout
from pipeline.training import tuning
from pipeline.training.cell import train
from pipeline.training.setting import spelled, with_setting
from pipeline.training.trial import tuning_split, validation_map
from tests.conftest import ROOT
from tests.losses import TRAINED
from tests.messages import one_line

GROUP = Group("dsdh", "wr", 16)
SEED = 100


@pytest.fixture
def params() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())
    content["training"] |= {"epochs": 2, "batch_size": 16}
    content["split"] = {"protocol": "hswd", "query": 30, "train": 60, "validation": 30}
    content["tune"] = {"seeds": [SEED, SEED + 1]}
    content["candidates"]["wr"] = {"weight": [0.1, 0.5, 2.0]}
    return content


def prepared(folder: Path, change: Any = None) -> Path:
    """A prepared dataset of 200 images in four classes that can be told apart."""
    random = np.random.default_rng(0)
    classes = np.arange(200) % 4
    images = random.integers(0, 100, (200, 8, 8, 3), dtype=np.uint8)
    images[np.arange(200), classes] += 120
    labels = np.eye(4, dtype=np.uint8)[classes]
    if change is not None:
        change(images, labels)
    folder.mkdir(parents=True)
    np.save(folder / "images.npy", images)
    packed, ids = np.packbits(labels, axis=1), "".join(f"{number}\n" for number in range(200))
    np.save(folder / "labels.npy", packed)
    (folder / "ids.txt").write_text(ids)
    (folder / "images.sha256").write_bytes(known := hashlib.sha256(images.tobytes()).digest())
    content = hashlib.sha256(known + packed.tobytes() + ids.encode()).hexdigest()
    names = {name: 50 for name in "abcd"}
    (folder / "manifest.json").write_text(json.dumps({"images": 200, "classes": names, "content_hash": content}))
    return folder


def data_of(root: Path) -> Path:
    return Layout("small", root).data


def tuned(params: dict[str, Any], data: Path, target: Path, group: Group = GROUP) -> tuple[list[dict[str, str]], Any]:
    target.mkdir()
    tuning.tune(params, group, Layout("small", data.parents[3]), target)
    with (target / "curve.csv").open(newline="") as stream:
        return list(csv.DictReader(stream)), json.loads((target / "choice.json").read_text())


def test_every_combination_is_a_setting_in_the_order_of_params() -> None:
    found = tuning.settings({"learning_rate": [0.1, 0.2], "own_weight": [1, 2]})
    assert [spelled(setting) for setting in found] == [
        "learning_rate=0.1, own_weight=1",
        "learning_rate=0.1, own_weight=2",
        "learning_rate=0.2, own_weight=1",
        "learning_rate=0.2, own_weight=2",
    ]


def test_the_choice_is_the_best_mean_over_seeds(params: dict[str, Any], tmp_path: Path) -> None:
    curve, choice = tuned(params, prepared(data_of(tmp_path)), tmp_path / "tuning")
    assert [(row["weight"], row["seed"]) for row in curve] == [
        (weight, seed) for weight in ("0.1", "0.5", "2.0") for seed in ("100", "101")
    ]
    means: dict[float, float] = {}
    for row in curve:
        means[float(row["weight"])] = means.get(float(row["weight"]), 0) + float(row["validation_map"]) / 2
    assert choice["setting"] == {"weight": max(means, key=lambda weight: means[weight])}
    assert len({row["validation_map"] for row in curve}) > 1, "the settings differ in what they reach"


@pytest.mark.parametrize("method", ["dsdh", "adsh"])
@pytest.mark.parametrize("selection", ["validation", "test"])
def test_query_images_have_no_say(method: str, selection: str, params: dict[str, Any], tmp_path: Path) -> None:
    """With the query images of tuning's and the grid's seeds replaced, and their labels, the curve is the same."""
    params["training"]["selection"] = selection
    params["tune"] = {"seeds": [SEED]}
    labels = np.eye(4, dtype=np.uint8)[np.arange(200) % 4]
    params["grid"]["seeds"] = [0, 1]
    query = np.union1d(*(protocols.draw(params["split"], labels, [], seed).query for seed in (0, 1)))
    query = np.union1d(query, protocols.draw(params["split"], labels, [], SEED).query)

    def spoil(images: Any, labels: Any) -> None:
        images[query] = 255 - images[query]
        labels[query] = np.roll(labels[query], 1, axis=1)

    group = Group(method, "wr", 16)
    before = tuned(params, prepared(data_of(tmp_path)), tmp_path / "before", group)
    after = tuned(params, prepared(data_of(tmp_path / "spoilt"), spoil), tmp_path / "after", group)
    assert before == after


@pytest.mark.parametrize(
    ("method", "quantizer"),
    [("dsdh", quantizer) for quantizer in quantizers.names()] + [(method, "original") for method in TRAINED],
)
def test_a_setting_that_diverges_is_tried_but_not_chosen(
    method: str, quantizer: str, params: dict[str, Any], tmp_path: Path
) -> None:
    params["candidates"][quantizer] = {"learning_rate": [1e30, 0.002]}
    group = Group(method, quantizer, 16)
    curve, choice = tuned(params, prepared(data_of(tmp_path)), tmp_path / "tuning", group)
    assert [row["validation_map"] == "" for row in curve] == [True, True, False, False]
    assert "lower training.optimizer.learning_rate" in curve[0]["note"]
    assert choice["setting"] == {"learning_rate": 0.002}


def test_nothing_that_trains_is_one_line(params: dict[str, Any], tmp_path: Path) -> None:
    params["candidates"]["original"] = {"learning_rate": [1e30]}
    with pytest.raises(UserError) as error:
        tuned(params, prepared(data_of(tmp_path)), tmp_path / "tuning", Group("dsdh", "original", 16))
    one_line(error, "no candidate of quantizer 'original' trains", "the loss is")


def test_where_the_last_trial_trained_the_last_failure_is_named(
    params: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each setting failed with another seed."""

    def diverging(params: Any, group: Any, setting: Any, seed: int, data: Any, split: Any) -> float:
        if seed == SEED:
            raise Diverged(f"the loss is nan with {setting['weight']}")
        return 0.5

    monkeypatch.setattr("pipeline.training.trial.validation_map", diverging)
    with pytest.raises(UserError) as error:
        tuned(params, prepared(data_of(tmp_path)), tmp_path / "tuning")
    one_line(error, "no candidate of quantizer 'wr' trains with every seed; the last failed: the loss is nan with 2.0")


def test_a_cell_is_trained_with_its_setting(params: dict[str, Any], tmp_path: Path) -> None:
    """As if params.yaml said so; and the record names it."""
    prepared(data_of(tmp_path))
    images, classes = np.load(data_of(tmp_path) / "images.npy"), np.eye(4, dtype=np.uint8)[np.arange(200) % 4]
    data, split = Prepared(images, classes, {"content_hash": "x"}), protocols.draw(params["split"], classes, [], 0)
    setting = {"weight": 0.7, "learning_rate": 0.004}
    said = deepcopy(params)
    said["quantizers"]["wr"]["weight"] = 0.7
    said["training"]["optimizer"]["learning_rate"] = 0.004
    assert with_setting(params, GROUP, setting) == said
    weights = {}
    for name, (given, chosen) in {"set": (params, setting), "said": (said, {}), "plain": (params, {})}.items():
        (tmp_path / name).mkdir()
        train(given, chosen, Cell("dsdh", "wr", 16, 0), data, split, tmp_path / name)
        weights[name] = (tmp_path / name / "weights.safetensors").read_bytes()
    assert weights["set"] == weights["said"] != weights["plain"]
    records = {name: json.loads((tmp_path / name / "training.json").read_text()) for name in weights}
    assert records["set"]["setting"] == "weight=0.7, learning_rate=0.004"
    assert "setting" not in records["said"]
    assert len({record["split_hash"] for record in records.values()}) == 1


def test_a_batch_size_is_a_setting_too(params: dict[str, Any], tmp_path: Path) -> None:
    folder = prepared(data_of(tmp_path))
    data = Prepared(np.load(folder / "images.npy"), np.eye(4, dtype=np.uint8)[np.arange(200) % 4], {})
    params["training"]["epochs"] = 3
    split = tuning_split(params, data, SEED)
    found = {size: validation_map(params, GROUP, {"batch_size": size}, SEED, data, split) for size in (8, 20)}
    params["training"]["batch_size"] = 8
    assert found[8] == validation_map(params, GROUP, {}, SEED, data, split) != found[20]
    with pytest.raises(UserError) as error:
        validation_map(params, GROUP, {"batch_size": 64}, SEED, data, split)
    one_line(error, "batch size 64 is larger than an epoch")


def test_trials_are_apart_from_all_query_images(params: dict[str, Any], tmp_path: Path) -> None:
    folder = prepared(data_of(tmp_path))
    labels = np.eye(4, dtype=np.uint8)[np.arange(200) % 4]
    data = Prepared(np.load(folder / "images.npy"), labels, {})
    params["grid"]["seeds"] = [0, 1, 2]
    split, drawn = tuning_split(params, data, SEED), protocols.draw(params["split"], labels, [], SEED)
    queries = {int(i) for seed in (0, 1, 2, SEED) for i in protocols.draw(params["split"], labels, [], seed).query}
    for part in ("train", "validation", "database"):
        kept = set(getattr(split, part).tolist())
        assert kept == set(getattr(drawn, part).tolist()) - queries
    params["grid"]["seeds"] = list(range(60))
    with pytest.raises(UserError) as error:
        tuning_split(params, data, SEED)
    one_line(error, "images of seed 100 are query images", "fewer query images")


@pytest.mark.parametrize("tried", [{"learning_rate": [0.001, 0.002]}])
def test_a_mistake_is_no_result(tried: dict[str, Any], params: dict[str, Any], tmp_path: Path) -> None:
    params["candidates"]["wr"] = tried
    params["backbone"]["weights"] = str(tmp_path / "nowhere.pt")
    with pytest.raises(UserError) as error:
        tuned(params, prepared(data_of(tmp_path)), tmp_path / "tuning", GROUP)
    one_line(error, "nowhere.pt")
    assert not (tmp_path / "tuning" / "choice.json").exists()


@pytest.mark.parametrize(("rate", "fails"), [(1e30, False), (0.002, True)])
def test_the_stage_of_batch_sizes_keeps_divergence_alone(
    rate: float, fails: bool, params: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stages import batch_size

    monkeypatch.chdir(tmp_path)
    params["study"] = "sizes"
    (tmp_path / "results" / "sizes").mkdir(parents=True)
    prepared(tmp_path / "results" / "sizes" / "data" / "prepared")
    params["training"]["optimizer"]["learning_rate"] = rate
    if fails:
        params["backbone"]["weights"] = str(tmp_path / "nowhere.pt")
    arguments = "--method dsdh --quantizer original --bits 16 --batch-size 8 --seed 100".split()
    made = tmp_path / "results" / "sizes" / "metrics" / "dsdh-original-16.batch-8-100"
    if fails:
        with pytest.raises(UserError) as error:
            batch_size.STAGE.call(params, arguments)
        one_line(error, "nowhere.pt")
        assert not made.exists()
    else:
        batch_size.STAGE.call(params, arguments)
        record = json.loads((made / "batch_size.json").read_text())
        assert record["validation_map"] is None and "lower training.optimizer.learning_rate" in record["note"]
