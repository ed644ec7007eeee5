"""A small index of scikit-learn's digits, a server process on it, and plain HTTP to it."""

import contextlib
import http.client
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipeline.operations.search.build import thumbnail
from pipeline.operations.search.index import ITEMS, MODEL, publish
from pipeline.operations.search.items import Items, Row, content
from pipeline.runtime.numerics import PORTABLE
from tests.conftest import ROOT

CNN = {"name": "cnn", "weights": "none", "input_size": 8, "frozen": False}
LINEAR = {"hidden": [], "dropout": 0.0, "normalize": "none"}
COUNT, BITS = 200, 32


@cache
def digits() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """The first images (n, 8, 8, 3), and their classes."""
    from sklearn.datasets import load_digits

    raw = load_digits()
    grey = np.round(raw.images[:COUNT] * (255 / 16)).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=3), raw.target[:COUNT]


def picture(pixels: npt.NDArray[np.uint8], kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


def write_network(folder: Path, about: dict[str, Any]) -> None:
    """An untrained network with weights from a fixed seed, as ``files.write`` writes a trained one."""
    import torch

    from pipeline.encoding.device import Compute
    from pipeline.encoding.head import make_head
    from pipeline.encoding.network import FeatureNetwork, HashNetwork, build
    from pipeline.operations.model.files import write_folder

    torch.manual_seed(0)
    compute, bits = Compute(torch.device("cpu"), "float32"), about["bits"]
    network: HashNetwork
    if about["image_size"] is None:
        network = FeatureNetwork(make_head(about["head"], about["num_features"], bits), bits, compute)
    else:
        network = build(about["backbone"], bits, compute, about["head"])
    folder.mkdir(parents=True)
    write_folder(network.state_dict(), about, folder)


def write_index(folder: Path, arrays: npt.NDArray[Any], labels: list[list[str]], about: dict[str, Any]) -> Path:
    """An index of images (n, S, S, 3) uint8 or vectors (n, D) float32, by an untrained network."""
    from pipeline.operations.model.encoder import ONNX, Encoder
    from pipeline.operations.model.onnx_file import export

    write_network(folder / MODEL, about)
    export("csq-wr-32-0", folder / MODEL, folder / MODEL / ONNX)
    codes = Encoder.load(folder / MODEL).codes_of(arrays)
    items = Items(folder / ITEMS, writable=True)
    items.add(
        Row(f"{row}", labels[row], content(one), codes[row], thumbnail(one) if one.ndim == 3 else None)
        for row, one in enumerate(arrays)
    )
    items.close()
    classes = sorted({label for some in labels for label in some})
    manifest = {"study": "s", "cell": "csq-wr-32-0", "code_length": about["bits"], "dataset": "digits"}
    publish(folder, "flat", manifest | {"classes": classes})
    return folder


def digits_index(folder: Path, backbone: dict[str, Any] = CNN, image_size: int = 8) -> Path:
    images, classes = digits()
    if image_size != 8:
        images = images.repeat(image_size // 8, axis=1).repeat(image_size // 8, axis=2)
    about = {"backbone": backbone, "bits": BITS, "precision": "float32", "image_size": image_size, "head": LINEAR}
    return write_index(folder, images, [[str(one)] for one in classes], about)


def vectors_index(folder: Path) -> Path:
    vectors = np.random.default_rng(0).standard_normal((50, 6)).astype(np.float32)
    head = {"bits": 12, "precision": "float32", "image_size": None, "num_features": 6, "head": LINEAR}
    return write_index(folder, vectors, [["a"]] * 50, {"backbone": {**CNN, "name": "identity"}, **head})


class Answered:
    """An answer of the server.

    Attributes:
        status: the status code.
        headers: by names in lower case.
        body: the bytes.
    """

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status, self.body = response.status, response.read()
        self.headers = {name.lower(): value for name, value in response.getheaders()}

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Server:
    """A server process and HTTP to it; ``log`` is a file for its standard error."""

    def __init__(self, index: Path, log: Path, *arguments: str) -> None:
        self.log = log
        # As a user starts it: the tests' own process is limited to portable numerics and one thread.
        limited = {*PORTABLE, "OMP_NUM_THREADS"}
        environment = {name: value for name, value in os.environ.items() if name not in limited}
        with log.open("w") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pipeline", "serve", str(index), "--port", "0", *arguments],
                cwd=ROOT, stdout=subprocess.PIPE, stderr=stderr, text=True,
                env=environment,
            )  # fmt: skip
        assert self.process.stdout is not None
        self.said = self.process.stdout.readline()
        assert self.said.startswith("open http://"), log.read_text()
        self.address = self.said.split()[1]
        host, _, port = self.address.removeprefix("http://").rpartition(":")
        self.host, self.port = host.strip("[]"), int(port)

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.host, self.port, timeout=120)

    def ask(
        self, path: str, body: Any = None, *, method: str | None = None, headers: dict[str, str] | None = None
    ) -> Answered:
        """GET, or POST a body, over a connection of its own."""
        with contextlib.closing(self.connect()) as connection:
            connection.request(method or ("GET" if body is None else "POST"), path, body, headers or {})
            return Answered(connection.getresponse())

    def memory(self, name: str = "VmRSS") -> float:
        """Resident memory of the process in MB; ``VmHWM`` is its maximum so far."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:"))

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End it by a signal; returns its exit code."""
        self.process.send_signal(how)
        return self.process.wait(60)


@contextlib.contextmanager
def served(index: Path, folder: Path, *arguments: str) -> Iterator[Server]:
    server = Server(index, folder / "log.txt", *arguments)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()
        assert server.process.stdout is not None
        server.process.stdout.close()
