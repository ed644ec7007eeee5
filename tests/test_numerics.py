"""``compute.numerics``: the same bytes on a CPU with other instructions, emulated by QEMU; and what is set for it."""

import json
import platform
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from pipeline.encoding import device as devices
from pipeline.encoding.device import Compute
from pipeline.runtime import numerics
from tests.conftest import ROOT, Project, copy_project

# Groups are given out before single tests, largest first, so the other worker doesn't wait for this file at the end.
pytestmark = pytest.mark.xdist_group("numerics")

#: A CPU with AVX2 of the vendor that this machine's isn't of: MKL, OpenBLAS and oneDNN have other kernels for it.
LISTED = Path("/proc/cpuinfo")
MODEL = "Haswell" if LISTED.exists() and "AuthenticAMD" in LISTED.read_text() else "EPYC"
CELLS = {
    "trained": [("dsdh", "swd")],
    "frozen": [
        ("csq", "wr"), ("adsh", "hswd"), ("hashnet", "cb"), ("dpah", "ot"), ("dbdh", "none"), ("itq", "original"),
    ],
}  # fmt: skip

#: All stages of both studies in one process, as in a worker of the sweep.
STAGES = """\
import json, sys
from importlib import import_module
from pathlib import Path
from pipeline.runtime import numerics

numerics.apply()

from pipeline.params import read

def run(stage, *pairs):
    import_module(f"stages.{stage}").STAGE.call(params, [str(word) for pair in pairs for word in pair])

for study, cells in json.loads(sys.argv[1]).items():
    params = read(Path(f"{study}.yaml"))
    run("prepare")
    if study == "frozen":
        run("features", ("--view", "plain"))
    run("split", ("--seed", 0))
    for method, quantizer in cells:
        group = ("--method", method), ("--quantizer", quantizer), ("--bits", 16)
        run("tune", *group)
        for stage in ("train", "encode", "evaluate"):
            run(stage, *group, ("--seed", 0))
    if study == "trained":
        run("informativeness", *group, ("--seed", 0), ("--part", "query"))
        run("batch_size", *group, ("--batch-size", 8), ("--seed", 100))
        run("visualize_inputs", ("--seed", 0))
        run("visualize", *group, ("--seed", 0))
    run("aggregate")
    if study == "trained":
        run("report")
"""

#: What the code uses, and more: MKL's vector functions and LAPACK, torch's own functions, NumPy's, in both precisions.
#: torch's ``atan`` and ``acos``, which nothing here uses, differ.
FUNCTIONS = """\
import hashlib
from pipeline.runtime import numerics

numerics.apply()

import numpy as np
import torch
from pipeline.encoding import portable

portable.by_numpy(1)
drawn = 3 * torch.randn(20_000, generator=torch.Generator().manual_seed(0))

def show(name, found):
    found = found.numpy() if isinstance(found, torch.Tensor) else found
    print(name, found.dtype, hashlib.sha256(np.ascontiguousarray(found[~np.isnan(found)]).tobytes()).hexdigest())

for values in (drawn, drawn.double()):
    for name in "exp expm1 tanh sigmoid erf sin cos cosh reciprocal".split():
        show(name, getattr(torch, name)(values))
    for name in "log log1p log2 log10 sqrt rsqrt".split():
        show(name, getattr(torch, name)(values.abs()))
    for name in "softplus logsigmoid".split():
        show(name, getattr(torch.nn.functional, name)(values))
    rows = values.view(200, 100)
    for name in "log_softmax softmax logsumexp std norm".split():
        show(name, getattr(torch, name)(rows, dim=1))
    show("pow", values.abs().pow(1.7))
    square = rows[:100]
    for name in "svd qr inv".split():
        found = getattr(torch.linalg, name)(square)
        for part in [found] if isinstance(found, torch.Tensor) else found:
            show(name, part)
    show("cholesky", torch.linalg.cholesky(square @ square.T + 100 * torch.eye(100, dtype=values.dtype)))
for name in "exp tanh log sqrt log1p sin cos".split():
    for values in (drawn.abs().numpy(), drawn.double().abs().numpy()):
        show(name, getattr(np, name)(values))
"""


def study(name: str) -> dict[str, Any]:
    """A small study: an emulated CPU takes a second for the convolutions of ten images."""
    content: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())
    methods, quantizers = zip(*CELLS[name], strict=True)
    content["study"] = name
    content["dataset"] |= {"name": "images", "path": "images"}
    content["watch"]["dataset"] = ["always"]
    content["split"]["per_class"] = {"query": 5, "validation": 4, "train": 12}
    content["grid"] |= {"methods": [m for m in methods if m != "itq"], "quantizers": list(quantizers), "seeds": [0]}
    content["evaluation"] |= {"precision_at": [10]}
    content["training"] |= {
        "epochs": 2,
        "batch_size": 16,
        "optimizer": content["training"]["optimizer"] | {"learning_rate": 0.01},
    }
    content["informativeness"] |= {"steps": 4, "restarts": 1, "hidden": 10, "batch_size": 16}
    content["visualize"] |= {"methods": ["dsdh"], "quantizers": ["swd"], "seeds": [], "images": 20, "perplexity": 4}
    content["compute"]["device"] = "cpu"
    if name == "trained":
        content["training"] |= {"epochs": 1, "validate_every": 1}
        content["batch_size"] |= {"methods": ["dsdh"], "quantizers": ["swd"], "values": [8]}
        content["visualize"]["seeds"] = [0]
        content["informativeness"]["parts"] = ["query"]
    if name == "frozen":
        content["grid"]["training_free"] = ["itq"]
        content["backbone"]["frozen"] = True
        content["features"]["views"] = ["plain"]
        content["head"] = {"hidden": [32], "dropout": 0.2, "normalize": "standardize"}
    return content


def add_images(folder: Path) -> None:
    """JPEG and PNG files of four classes in random colours, to be cut and resized."""
    random = np.random.default_rng(0)
    for image in range(120):
        target = folder / f"class {image % 4}" / f"{image}.{'jpg' if image % 3 else 'png'}"
        target.parent.mkdir(parents=True, exist_ok=True)
        pixels = random.normal(60 + 30 * (image % 4), 20, (10, 13, 3)).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(target)


def run(project: Project, *emulator: str) -> dict[str, bytes]:
    """Run all stages; the files that they leave."""
    add_images(project.folder / "images")
    for name in CELLS:
        (project.folder / f"{name}.yaml").write_text(yaml.safe_dump(study(name)))
    command = [*emulator, sys.executable, "-c", STAGES, json.dumps(CELLS)]
    done = subprocess.run(command, cwd=project.folder, env=project.env, capture_output=True, text=True, timeout=2700)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "compute.numerics" not in done.stderr
    # How long a cell took is different each time.
    files = [file for file in project.folder.glob("results/**/*") if file.is_file() and file.parent.name != "times"]
    return {str(file.relative_to(project.folder)): file.read_bytes() for file in files}


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("qemu-x86_64") is None, reason="needs qemu-x86_64 (Debian's qemu-user)")
def test_another_cpu_leaves_the_same_bytes(tmp_path: Path) -> None:
    projects = [copy_project(tmp_path / name) for name in ("here", "there")]
    with ThreadPoolExecutor() as threads:
        emulated = threads.submit(run, projects[1], "qemu-x86_64", "-cpu", MODEL)
        here, there = run(projects[0]), emulated.result()
    assert [json.loads(text)["numerics"] for name, text in here.items() if name.endswith("/training.json")] == [
        "portable"
    ] * sum(map(len, CELLS.values()))
    assert there.keys() == here.keys()
    assert [name for name in here if there[name] != here[name]] == []


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("qemu-x86_64") is None, reason="needs qemu-x86_64 (Debian's qemu-user)")
def test_functions_give_the_same_bytes_on_another_cpu() -> None:
    """By more values than the small studies have, since functions may differ for few of them."""
    here, there = (
        subprocess.run([*emulator, sys.executable, "-c", FUNCTIONS], cwd=ROOT, capture_output=True, text=True)
        for emulator in ((), ("qemu-x86_64", "-cpu", MODEL))
    )
    assert here.returncode == 0, here.stderr
    assert there.stdout.splitlines() == here.stdout.splitlines()


@pytest.fixture
def unlimited(monkeypatch: pytest.MonkeyPatch) -> None:
    """No library is limited yet."""
    for name in numerics.PORTABLE:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("unlimited")
@pytest.mark.parametrize(
    ("text", "limited"),
    [
        ("compute: {numerics: portable, precision: auto}", True),
        ("compute: {numerics: portable, precision: bfloat16}", False),
        ("compute: {numerics: native, precision: auto}", False),
        ("compute: [", True),
        ("compute: {}", True),
        (None, True),
    ],
)
def test_params_decide_whether_libraries_are_limited(text: str | None, limited: bool, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "params.yaml").write_text(text)
    numerics.apply(tmp_path / "params.yaml")
    assert numerics.applied() == limited


@pytest.mark.parametrize(
    ("listed", "has"),
    [("flags : fpu avx avx2 fma", True), ("flags : fpu avx avx2", False), ("flags : sse2", False), (None, True)],
)
def test_a_cpu_without_avx2_is_left_alone(listed: str | None, has: bool, tmp_path: Path) -> None:
    if listed is not None:
        (tmp_path / "cpuinfo").write_text(listed)
    assert numerics._has_avx2(tmp_path / "cpuinfo") == (has and platform.machine() == "x86_64")


@pytest.mark.usefixtures("unlimited")
def test_another_kind_of_cpu_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    numerics.apply()
    assert not numerics.applied()


@pytest.mark.parametrize(
    ("asked", "device", "precision", "limited", "said"),
    [
        ("portable", "cpu", "float32", True, ""),
        ("portable", "cpu", "float32", False, "torch was imported before"),
        ("portable", "cpu", "bfloat16", True, "bfloat16 needs instructions"),
        ("portable", "cuda", "bfloat16", True, ""),
        ("native", "cpu", "float32", False, ""),
    ],
)
def test_what_is_not_portable_says_so(
    asked: str,
    device: str,
    precision: str,
    limited: bool,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    monkeypatch.setattr(numerics, "applied", lambda: limited)
    devices.warn_if_native.cache_clear()
    devices.warn_if_native(asked, Compute(torch.device(device), precision))
    assert said in (text := capsys.readouterr().err)
    assert bool(text) == bool(said)
