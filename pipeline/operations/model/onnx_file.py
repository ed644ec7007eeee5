"""Write a trained cell's network as an ONNX file, for programs without Python or torch."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.encoding.device import Compute
from pipeline.encoding.network import HashNetwork, ImageNetwork
from pipeline.operations.model.choice import named
from pipeline.operations.model.encoder import described, network
from pipeline.operations.model.files import write
from pipeline.params import Params
from pipeline.runtime.errors import UserError

#: Packages that torch needs to write ONNX.
PACKAGES = ("onnx", "onnxscript")


def write_onnx(params: Params, name: str, file: Path) -> str:
    """Write a cell's network as an ONNX file. An existing file is replaced when the new one is complete.

    The input is ``images`` (n, S, S, 3) uint8, the arrays that ``Encoder.pixels`` makes of pictures, or ``vectors``
    (n, D) float32. Resizing to the network's input size and normalization are inside the file. The outputs are
    ``codes`` (n, ceil(K / 8)) uint8, packed as everywhere, and ``u`` (n, K) float32. All layers compute in float32,
    also those of a network that was trained in bfloat16.

    Args:
        params: content of params.yaml.
        name: a cell's name such as ``dsdh-wr-16-0``; or a group's such as ``dsdh-wr-16``, which means its best cell.
        file: the file to write.

    Returns:
        one line that names the cell, the file, its inputs and outputs.

    Raises:
        UserError: a package is missing, there is no such cell, its files are missing, or the file can't be written.
    """
    if missing := missing_package():
        raise UserError(f"onnx: it needs the package {missing}; run `pip install -r requirements-onnx.txt`")
    if file.is_dir() or not file.parent.is_dir():
        raise UserError(f"onnx: {file}: expected FILE=<a file in an existing folder>")
    cell = named(params, name, "onnx")
    with TemporaryDirectory() as folder, _replaced(file) as partial:
        write(params, cell, Path(folder))
        return f"{file}: the network of {cell.name}; {export(cell.name, Path(folder), partial)}"


def missing_package() -> str | None:
    """A package that ``export`` needs and that isn't installed."""
    return next((package for package in PACKAGES if find_spec(package) is None), None)


def export(name: str, folder: Path, file: Path) -> str:
    """Write the network in a model's folder as an ONNX file; see ``write_onnx``.

    Args:
        name: the cell's; it and the code length are written as metadata.
        folder: the folder that ``pipeline.operations.model.files.write`` wrote.
        file: the file to write.

    Returns:
        what goes in and out.
    """
    about = described(folder)
    size = about["image_size"]
    shape = (about["num_features"],) if size is None else (size, size, 3)
    given, kind = ("vectors", torch.float32) if size is None else ("images", torch.uint8)
    whole = Whole(network(folder, Compute(torch.device("cpu"), "float32")), size).eval()
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            whole,
            (torch.zeros((2, *shape), dtype=kind),),  # two: torch would take a single one for a fixed number
            input_names=[given],
            output_names=["codes", "u"],
            dynamic_shapes=({0: torch.export.Dim("n")},),
            dynamo=True,
            verbose=False,
        )
        assert program is not None
        program.model.metadata_props.update({"cell": name, "code_length": str(about["bits"])})
        program.save(file, external_data=False)
    sides, bits = ", ".join(map(str, shape)), about["bits"]
    number = str(kind).removeprefix("torch.")
    return f"input {given} (n, {sides}) {number}, outputs codes (n, {-(-bits // 8)}) uint8 and u (n, {bits}) float32"


class Whole(nn.Module):
    """A network from the arrays as they are stored to packed codes.

    Args:
        network: reads images (n, 3, S, S) uint8, or vectors (n, D) float32.
        size: S; None for vectors.
    """

    values: Tensor
    resizing: Tensor | None

    def __init__(self, network: HashNetwork, size: int | None) -> None:
        super().__init__()
        self.network, self.num_bytes = network, -(-network.code_length // 8)
        self.register_buffer("values", 2.0 ** torch.arange(7, -1, -1), persistent=False)
        matrix = None
        if isinstance(network, ImageNetwork) and size is not None and size != network.input_size:
            matrix = resizing(size, network.input_size)
        self.register_buffer("resizing", matrix, persistent=False)

    def forward(self, arrays: Tensor) -> tuple[Tensor, Tensor]:
        """Codes (n, ceil(K / 8)) uint8 and outputs u (n, K) float32, of (n, S, S, 3) uint8 or (n, D) float32."""
        given = arrays.permute(0, 3, 1, 2) if arrays.ndim == 4 else arrays
        if self.resizing is not None:
            given = self.resizing @ given.float() @ self.resizing.T
        u: Tensor = self.network(given)
        bits = functional.pad((u >= 0).float(), (0, -self.network.code_length % 8)).reshape(-1, self.num_bytes, 8)
        # Sums of floats, which are exact here: ONNX has no operator for bits, and few runtimes have uint8 products.
        return (bits * self.values).sum(dim=2).to(torch.uint8), u


def resizing(size: int, wanted: int) -> Tensor:
    """The matrix M (wanted, size): M @ image @ M.T is the image as ``pipeline.encoding.images.normalized`` resizes it.

    ONNX Runtime's own operator differs by 0.005 of 255, which deep networks amplify to 4e-4 in the outputs.
    """
    each = torch.eye(size)[None, None]
    return functional.interpolate(each, size=(wanted, size), mode="bilinear", antialias=size > wanted)[0, 0]


@contextmanager
def _replaced(file: Path) -> Iterator[Path]:
    """Yield a file beside ``file`` to write; it takes its place if the block succeeds, and is removed if not."""
    partial = file.with_name(f".{file.name}.partial")
    try:
        yield partial
        os.replace(partial, file)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's reports and warnings, which are about its own parts."""
    log = logging.getLogger("torch.onnx")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(before)
