"""Networks of timm as backbones: features, normalization, input sizes, weights, and what is refused."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import save_file

from pipeline import backbones
from pipeline.encoding.device import Compute
from pipeline.encoding.network import build, load
from pipeline.runtime.errors import UserError
from pipeline.runtime.outputs import read_json
from tests.conftest import ROOT, Project, copy_project, grid, make_small
from tests.messages import one_line

timm = pytest.importorskip("timm", reason="requirements-timm.txt isn't installed")

FLOAT32 = Compute(torch.device("cpu"), "float32")
#: A ViT of 0.3 million parameters that timm has for its own tests; its own size is 160 pixels.
TINY = "test_vit.r160_in1k"


def sized(model: str, size: int, weights: str = "none") -> backbones.Backbone:
    backbone = backbones.create("timm", model=model, weights=weights).eval()
    backbone.set_input_size(size)
    return backbone


def images(count: int, size: int) -> torch.Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(0))


def features_of(network: torch.nn.Module, size: int) -> torch.Tensor:
    with torch.no_grad():
        features: torch.Tensor = network.eval()(images(2, size))
    return features


def refused(*parts: str, size: int = 0, **arguments: Any) -> None:
    with pytest.raises(UserError) as error:
        backbone = backbones.create("timm", **arguments)
        backbone.set_input_size(size)
    one_line(error, *parts)


CLIP = (0.48145466, 0.4578275, 0.40821073)
IMAGENET = (0.485, 0.456, 0.406)


@pytest.mark.parametrize(
    ("model", "size", "features", "mean"),
    [
        ("vit_tiny_patch16_224", 32, 192, (0.5, 0.5, 0.5)),
        ("vit_small_patch14_dinov2.lvd142m", 28, 384, IMAGENET),
        ("vit_xsmall_patch16_clip_224", 32, 256, CLIP),
        ("eva02_tiny_patch14_224", 28, 192, CLIP),
        ("convnext_atto", 32, 320, IMAGENET),
        ("resnet10t", 8, 512, IMAGENET),
        ("mobilenetv3_small_050", 32, 1024, IMAGENET),  # its classifier has a hidden layer, which is kept
        pytest.param("resnet50_clip.openai", 64, 2048, CLIP, marks=pytest.mark.slow),
        pytest.param("swin_tiny_patch4_window7_224", 64, 768, IMAGENET, marks=pytest.mark.slow),
    ],
)
def test_every_kind_of_network_gives_one_vector_per_image(
    model: str, size: int, features: int, mean: tuple[float, ...]
) -> None:
    backbone = sized(model, size)
    found = features_of(backbone, size)
    assert found.shape == (2, features) == (2, backbone.num_features)
    assert found.isfinite().all() and not torch.equal(found[0], found[1])
    assert backbone.mean == mean and len(backbone.std) == 3


def test_normalization_is_that_of_the_tag() -> None:
    """One network, two sets of weights."""
    means = {
        tag: backbones.create("timm", model=f"vit_small_patch16_224.{tag}").mean for tag in ("dino", "augreg_in1k")
    }
    assert means == {"dino": IMAGENET, "augreg_in1k": (0.5, 0.5, 0.5)}


def test_training_reaches_every_weight() -> None:
    backbone = sized(TINY, 32).train()
    backbone(images(4, 32)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in backbone.parameters())


@pytest.mark.parametrize(
    ("model", "size", "parts"),
    [
        ("vit_tiny_patch16_224", 40, ("can't take 40 pixels (it isn't a multiple of 16", "its own size is 224")),
        ("convit_tiny", 32, ("can't take 32 pixels", "Input height (32) doesn't match", "its own size is 224")),
        ("convnext_atto", 16, ("can't take 16 pixels", "its own size is 224")),
    ],
)
def test_a_size_that_a_network_does_not_take_is_one_line(model: str, size: int, parts: tuple[str, ...]) -> None:
    refused("backbone.input_size: ", *parts, size=size, model=model)


def test_a_network_of_one_size_takes_that_size() -> None:
    assert features_of(sized("convit_tiny", 224), 224).shape == (2, 192)


def test_a_network_that_does_not_pool_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    make = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda name, **given: make(name, global_pool="", **given))
    refused("backbone.model: ", "(1, 5, 64)", "one vector", size=32, model=TINY)


@pytest.mark.parametrize(
    ("model", "parts"),
    [
        ("vit_tinny_patch16_224", ("has no network 'vit_tinny_patch16_224' (did you mean 'vit_tiny_patch16_224'?)",)),
        ("vit_tiny_patch16_224_in21k", ("has no network", "did you mean 'vit_tiny_patch16_224'?")),  # a deprecated name
        ("hf-hub:timm/resnet18", ("has no network",)),
        ("0", ("has no network '0'", "timm.list_models()")),
        ("vit_small_patch14_dinov2.lvd14", ("has no weights 'lvd14'", "did you mean 'lvd142m'?", "known: lvd142m")),
        ("resnet18.", ("has no weights ''", "known: a1_in1k, ")),
    ],
)
def test_an_unknown_name_is_one_line(model: str, parts: tuple[str, ...]) -> None:
    refused("backbone.model: timm ", *parts, model=model)


def test_the_name_is_needed() -> None:
    refused("backbone 'timm' needs model")


# Weights.


def saved(state: dict[str, torch.Tensor], file: Path) -> str:
    if file.suffix == ".safetensors":
        save_file(state, file)
    else:
        torch.save(state, file)
    return str(file)


@pytest.mark.parametrize("ending", [".safetensors", ".pth"])
@pytest.mark.parametrize("classes", [0, 1000], ids=["features", "classifier"])
@pytest.mark.parametrize("model", [TINY, "test_resnet", "test_convnext"])
def test_weights_come_from_a_file(model: str, classes: int, ending: str, tmp_path: Path) -> None:
    source = timm.create_model(model, num_classes=classes)
    loaded = backbones.create("timm", model=model, weights=saved(source.state_dict(), tmp_path / f"weights{ending}"))
    found = loaded.state_dict()
    assert found and all(torch.equal(value, source.state_dict()[key[8:]]) for key, value in found.items())


@pytest.mark.parametrize("size", [32, 160, 224])
def test_another_input_size_is_what_timm_makes_of_the_weights(size: int, tmp_path: Path) -> None:
    """timm resamples position embeddings where it loads weights into a network of another size."""
    file = saved(timm.create_model(TINY).state_dict(), tmp_path / "weights.safetensors")
    told = timm.create_model(
        TINY, num_classes=0, img_size=size, pretrained=True, pretrained_cfg_overlay={"file": file, "custom_load": False}
    )
    found = features_of(sized(TINY, size, file), size)
    torch.testing.assert_close(found, features_of(told, size), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("missing", ("Missing key(s)", "norm.weight")),
        ("further", ("Unexpected key(s)", "further.weight")),
        ("other", ("Missing key(s)",)),
        ("shape", ("size mismatch",)),
    ],
)
def test_a_file_that_does_not_fit_is_one_line(content: str, parts: tuple[str, ...], tmp_path: Path) -> None:
    state = dict(timm.create_model(TINY).state_dict())
    if content == "missing":
        del state["norm.weight"]
    elif content == "further":
        state["further.weight"] = torch.zeros(1)
    elif content == "other":
        state = dict(timm.create_model("test_resnet").state_dict())
    else:
        state["pos_embed"] = torch.zeros(1, 5, 64)
    file = saved(state, tmp_path / "weights.pt")
    refused(f"backbone.weights: {file} doesn't fit {TINY}: ", *parts, model=TINY, weights=file)


def test_a_file_that_is_not_there_is_one_line() -> None:
    refused("backbone.weights: no file 'nowhere.pt'", model=TINY, weights="nowhere.pt")


def test_a_network_without_weights_is_one_line() -> None:
    model = "vit_small_patch16_18x2_224"
    refused(f"backbone.weights: timm has no weights of {model}; expected", model=model, weights="pretrained")


def without_network(model: str, weights: str, **env: str) -> str:
    """What a process says that loads a model's weights and has no network and no cache."""
    code = f"""
import sys
from pipeline import backbones
from pipeline.runtime.errors import UserError
try:
    backbones.create("timm", model={model!r}, weights={weights!r})
except UserError as error:
    sys.exit(f"error: {{error}}")
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={**os.environ, **env}, capture_output=True, text=True
    )
    assert done.returncode == 1, done.stderr
    return done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("weights", "env"),
    [("imagenet", {"HF_HUB_OFFLINE": "1"}), ("pretrained", {"HF_ENDPOINT": "http://127.0.0.1:9"})],
    ids=["offline", "unreachable"],
)
def test_weights_that_cannot_be_downloaded_are_one_line(weights: str, env: dict[str, str], tmp_path: Path) -> None:
    """The second case is a hub that can't be reached; the client tries again for most of a minute."""
    said = without_network(TINY, weights, HF_HOME=str(tmp_path), **env)
    assert said.count("\n") == 1, said
    assert said.startswith(f"error: backbone.weights: the weights of {TINY} couldn't be downloaded (")
    for part in ("model.safetensors from https://huggingface.co/timm/test_vit.r160_in1k", "'none'", "with a network"):
        assert part in said


def test_without_the_package_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UserError) as error:
        backbones.create("timm", model=TINY)
    line = "backbone.name: timm needs the package timm; run `pip install -r requirements-timm.txt`"
    assert str(error.value) == line


# In the pipeline.

SECTION: Any = {"name": "timm", "model": TINY, "weights": "none", "input_size": 32, "frozen": False}


def test_a_trained_network_comes_back_without_its_first_weights(tmp_path: Path) -> None:
    network = build(SECTION, 12, FLOAT32).eval()
    state = {name: value.contiguous() for name, value in network.state_dict().items()}
    save_file(state, tmp_path / "weights.safetensors")
    loaded = load({**SECTION, "weights": "pretrained"}, 12, FLOAT32, tmp_path / "weights.safetensors")
    pixels = torch.randint(0, 256, (3, 3, 8, 8), dtype=torch.uint8)
    with torch.no_grad():
        assert torch.equal(loaded(pixels), network(pixels))


def test_the_layout_of_memory_changes_nothing() -> None:
    """On CUDA, layers are in channels-last format."""
    network = build(SECTION, 12, FLOAT32).eval()
    pixels = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8)
    with torch.no_grad():
        found = network(pixels)
        torch.testing.assert_close(network.to(memory_format=torch.channels_last)(pixels), found, rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """One cell on the digits by a real `dvc repro`, with weights of timm's network from a file."""
    folder = tmp_path_factory.mktemp("timm")
    project = copy_project(folder / "project")
    make_small(project)
    torch.manual_seed(0)
    weights = saved(timm.create_model("test_resnet").state_dict(), folder / "weights.safetensors")
    section = {"name": "timm", "model": "test_resnet", "weights": weights, "input_size": 16, "frozen": False}
    project.edit("backbone", section)
    project.edit("grid", grid())
    project.edit("training.epochs", 8)
    project.edit("training.optimizer.learning_rate", 0.005)
    project.repro()
    return project


@pytest.mark.slow
@pytest.mark.xdist_group("timm")
def test_the_chain_trains_a_cell(chain: Project) -> None:
    metrics = read_json(chain.results / "metrics" / "csq-original-16-0" / "metrics.json")
    assert metrics["map"] > 0.6, "random codes have 0.1"
    caption = (chain.results / "report" / "results.md").read_text()
    assert "backbone timm, model test_resnet, weights " in caption
    assert "follow from them" in chain.run("python", "-m", "pipeline", "verify").stdout


@pytest.mark.slow
@pytest.mark.xdist_group("timm")
def test_the_network_is_registered_with_the_package(chain: Project) -> None:
    chain.run("git", "add", "-A")
    chain.run("git", "commit", "-q", "-m", "start")
    said = chain.run("python", "-m", "pipeline", "register", "csq-original-16").stdout
    assert "version 1 is the network of csq-original-16-0" in said
    files = [file for file in chain.folder.glob("mlruns/**/requirements.txt") if "code" not in file.parts]
    assert files and all(f"timm=={timm.__version__}" in file.read_text().split() for file in files)
    stored = [read_json(file)["backbone"] for file in chain.folder.glob("mlruns/**/models/**/about.json")]
    assert stored == [{**chain.params["backbone"], "weights": "none"}]


@pytest.mark.slow
@pytest.mark.xdist_group("timm")
def test_another_network_trains_anew(chain: Project) -> None:
    before = yaml.safe_load((chain.folder / "params.yaml").read_text())
    chain.edit("backbone", {**before["backbone"], "model": "test_convnext", "weights": "none", "input_size": 32})
    try:
        listed = chain.run("dvc", "status").stdout
        assert "results/small/shared/train" in listed or "shared-train" in listed
    finally:
        (chain.folder / "params.yaml").write_text(yaml.safe_dump(before, sort_keys=False))


@pytest.mark.slow
def test_who_checks_params_does_not_import_timm() -> None:
    code = (
        "import sys; from pipeline.params import check, read; params = read();"
        f"assert check({{**params, 'backbone': {SECTION!r}}}) == [];"
        "assert not {'timm', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
