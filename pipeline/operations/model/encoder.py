"""A trained cell's network, loaded from a folder: it turns pictures, or vectors, into codes."""

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from safetensors import SafetensorError, safe_open

from pipeline.codes import pack, sign
from pipeline.encoding import device as devices
from pipeline.encoding.device import Compute
from pipeline.encoding.encode import outputs
from pipeline.encoding.network import HashNetwork, load, load_head
from pipeline.operations.model.onnx_network import OnnxNetwork
from pipeline.preparation.square import FORMATS, Pixels, reason, square
from pipeline.runtime.errors import UserError, with_type
from pipeline.runtime.machine import cores

Picture = bytes | Path
Device = Literal["auto", "cpu", "cuda"]
#: The files of a model's folder; ``pipeline.operations.model.files`` writes them.
ABOUT, WEIGHTS = "about.json", "weights.safetensors"
#: A file that may lie beside them; ``pipeline.operations.model.onnx_file.export`` writes it.
ONNX = "network.onnx"
#: Maximum number of bytes of decoded pictures that are held at a time.
BYTES = 1 << 27
#: Maximum number of pictures that are decoded at the same time: each may take 300 MB before it is resized.
DECODERS = 8


class Encoder:
    """Computes codes as the encode stage does, in the precision that the network was trained with.

    Codes are packed by ``pipeline.codes.pack``: 1 is +1, and the first bit is the highest of the first byte. On another
    device, or with another number of threads, an output close to 0 may get the other sign by rounding.

    Args:
        network: the network in evaluation mode; or its ONNX file, which computes the same apart from rounding.
        image_size: S, side in pixels of the arrays that the network reads; None if it reads vectors.
        num_features: D, the length of a vector; None if the network reads images.

    Attributes:
        code_length: K, the number of bits.

    Examples:
        A network with random weights; ``Encoder.load(folder)`` loads a trained one.

        >>> from pipeline.encoding.network import build
        >>> section = {"name": "cnn", "weights": "none", "input_size": 8, "frozen": False}
        >>> network = build(section, 16, Compute(torch.device("cpu"), "float32")).eval()
        >>> Encoder(network, image_size=8).codes_of(np.zeros((3, 8, 8, 3), np.uint8)).shape
        (3, 2)
    """

    def __init__(
        self, network: HashNetwork | OnnxNetwork, image_size: int | None, num_features: int | None = None
    ) -> None:
        self.network, self.image_size, self.code_length = network, image_size, network.code_length
        self._shape = (image_size, image_size, 3) if image_size is not None else (num_features,)

    @classmethod
    def load(cls, folder: Path, device: Device = "auto") -> "Encoder":
        """Load the network that ``pipeline.operations.model.files.write`` wrote.

        On a CPU, ONNX Runtime computes it if the folder also has ``network.onnx`` and the package is installed. Else
        TensorFloat-32 is switched off in the process, and a network trained in bfloat16 also computes in bfloat16 on a
        CPU without such instructions, which is slow; a line is printed about it.

        Args:
            folder: the folder with ``about.json`` and ``weights.safetensors``.
            device: ``auto`` is CUDA if available, else the CPU.

        Raises:
            UserError: the folder holds no such network, a package that it needs is missing, or there is no such device.
        """
        about = described(folder)
        where, threads = _device(device), torch.get_num_threads()
        loaded: HashNetwork | OnnxNetwork
        if where == "cpu" and (folder / ONNX).exists() and find_spec("onnxruntime"):
            loaded = _onnx(folder, about["bits"], threads)
        else:
            section = {"precision": about["precision"], "numerics": "native", "threads": threads, "device": where}
            loaded = network(folder, devices.choose(section))  # type: ignore[arg-type]
        return cls(loaded, about["image_size"], about.get("num_features"))

    def pixels(self, picture: Picture) -> Pixels:
        """Decode a picture as ``prepare`` does: rotated as its EXIF data says, central square, resized, RGB.

        Args:
            picture: the bytes or the path of an image file.

        Returns:
            (S, S, 3) uint8.

        Raises:
            UserError: the picture can't be read, or the network reads vectors.
        """
        return _decoded(picture, str(picture) if isinstance(picture, Path) else "picture", self._size)

    def codes(self, pictures: Sequence[Picture]) -> npt.NDArray[np.uint8]:
        """Compute the packed codes of any number of pictures. Memory grows only with the codes.

        Args:
            pictures: n bytes or paths of image files; n may be 0.

        Returns:
            (n, ceil(K / 8)) uint8.

        Raises:
            UserError: a picture can't be read, or the network reads vectors.
        """
        parts = [self.codes_of(part) for part in self._batches(pictures)]
        return np.concatenate(parts) if parts else self.codes_of(np.empty((0, *self._shape), np.uint8))

    def codes_of(self, arrays: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """Compute the packed codes of what the network reads.

        Args:
            arrays: (n, S, S, 3) uint8 as ``pixels`` returns them, or vectors (n, D) float32; n may be 0.

        Returns:
            (n, ceil(K / 8)) uint8.

        Raises:
            UserError: ``arrays`` has another type or shape, or a vector isn't finite.
        """
        return pack(sign(self.outputs_of(arrays)))

    def outputs_of(self, arrays: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Compute the raw outputs u, whose signs are the codes; see ``codes_of``.

        Returns:
            (n, K) float32.
        """
        self._check(arrays)
        if not len(arrays):
            return np.empty((0, self.code_length), np.float32)
        if isinstance(self.network, OnnxNetwork):
            return self.network.outputs(arrays)
        found: npt.NDArray[np.float32] = outputs(
            self.network, arrays, np.arange(len(arrays)), self.network.device
        ).numpy()
        return found

    @property
    def _size(self) -> int:
        if self.image_size is None:
            raise UserError(f"this network reads vectors (n, {self._shape[0]}) float32, not pictures; use codes_of")
        return self.image_size

    def _batches(self, pictures: Sequence[Picture]) -> Iterator[Pixels]:
        """Decode pictures, as many at a time as the network takes at once and memory allows."""
        size = self._size
        count = max(1, min(self.network.batch_size, BYTES // (3 * size * size)))
        with ThreadPoolExecutor(min(DECODERS, cores())) as pool:
            for first in range(0, len(pictures), count):
                batch = pictures[first : first + count]
                names = [str(one) if isinstance(one, Path) else f"pictures[{first + i}]" for i, one in enumerate(batch)]
                yield np.stack(list(pool.map(_decoded, batch, names, [size] * len(batch))))

    def _check(self, arrays: npt.NDArray[Any]) -> None:
        what, kind = ("vectors", np.float32) if self.image_size is None else ("images", np.uint8)
        if arrays.dtype != kind or arrays.ndim != 1 + len(self._shape) or arrays.shape[1:] != self._shape:
            shape, found = ", ".join(map(str, self._shape)), f"{arrays.dtype} of shape {arrays.shape}"
            raise UserError(f"expected {what} as {np.dtype(kind)} of shape (n, {shape}); found {found}")
        if self.image_size is None and not np.isfinite(arrays).all():
            row = int(np.argmin(np.isfinite(arrays).all(axis=1)))
            raise UserError(f"expected finite numbers; vector {row} has a value that is not finite")


def described(folder: Path) -> dict[str, Any]:
    """Read what a model's folder says of its network.

    Returns:
        ``backbone`` and ``head`` as in params.yaml, ``bits``, ``precision``, ``image_size`` (None for vectors), and
        ``num_features`` for vectors.

    Raises:
        UserError: the folder holds no network.
    """
    try:
        about: dict[str, Any] = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        return {**about, "bits": int(about["bits"]), "image_size": about["image_size"], "precision": about["precision"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _no_network(folder, error) from None


def network(folder: Path, compute: Compute) -> HashNetwork:
    """Load the network of a model's folder, in evaluation mode.

    Args:
        folder: the folder with ``about.json`` and ``weights.safetensors``.
        compute: device and precision.

    Raises:
        UserError: the folder holds no network, or a package that it needs is missing.
    """
    about, weights = described(folder), folder / WEIGHTS
    try:
        with safe_open(weights, framework="pt"):
            pass  # it is complete
        if about["image_size"] is None:
            return load_head(about["head"], about["num_features"], about["bits"], compute, weights)
        return load(about["backbone"], about["bits"], compute, weights, about["head"])
    except (OSError, SafetensorError, KeyError, TypeError, RuntimeError) as error:  # the last: of another network
        raise _no_network(folder, error) from None


def _onnx(folder: Path, code_length: int, threads: int) -> OnnxNetwork:
    try:
        return OnnxNetwork(folder / ONNX, code_length, threads)
    except Exception as error:  # ONNX Runtime raises types of its own
        raise UserError(f"{folder / ONNX}: can't be read ({with_type(error)}); remove it, or write it again") from None


def _no_network(folder: Path, error: Exception) -> UserError:
    why = with_type(error)
    return UserError(f"{folder}: expected a network's {ABOUT} and {WEIGHTS}, which belong together ({why})")


def _device(name: str) -> Device:
    if name not in get_args(Device):
        raise UserError(f"device: expected one of {', '.join(get_args(Device))}, found {name!r}")
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("device: 'cuda' is not available on this machine; use 'auto' or 'cpu'")
    return "cuda" if torch.cuda.is_available() and name != "cpu" else "cpu"


def _decoded(picture: Picture, name: str, size: int) -> Pixels:
    """Decode a picture to (size, size, 3) uint8; ``name`` is what messages call it."""
    if not isinstance(picture, bytes | Path):
        raise UserError(f"{name}: expected the bytes or the path of an image file, found {type(picture).__name__}")
    try:
        with Image.open(BytesIO(picture) if isinstance(picture, bytes) else picture, formats=FORMATS) as image:
            return square(image, size)
    except Exception as error:  # broken files raise many types
        raise UserError(f"{name}: {reason(error)}; expected an image file ({', '.join(FORMATS)})") from None
