"""Compute the features of all images by a frozen backbone, in one array on disk; resumable."""

import hashlib
import shutil
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from pipeline import backbones
from pipeline.encoding import device as devices
from pipeline.encoding.images import normalization, normalized
from pipeline.encoding.transfer import to_device
from pipeline.params import Params
from pipeline.preparation import chunks
from pipeline.preparation.arrays import CHUNK, Prepared
from pipeline.runtime.errors import UserError
from pipeline.runtime.machine import cores
from pipeline.runtime.outputs import read_json, write_json

#: Number of images per forward pass. On a CPU, the layers' outputs of few images stay in a core's cache: 4 images of
#: 224 x 224 take less than half the time per image that 64 take.
BATCH = {"cpu": 4, "cuda": 512, "mps": 64}
#: What is done to the images of each view.
VIEWS: dict[str, Callable[[Tensor], Tensor]] = {
    "plain": lambda images: images,
    "mirrored": lambda images: images.flip(3),
}


def write(params: Params, data: Prepared, view: str, target: Path, others: Iterable[Path] = ()) -> None:
    """Write ``features.npy`` (n, D) float32, ``features.sha256`` and ``manifest.json`` into ``target``.

    The backbone is in evaluation mode: batch normalization uses the stored statistics, and dropout is off. On a CPU,
    each core computes its own images, so the bytes don't depend on the number of cores. Each finished chunk is recorded
    in a journal; a later call computes only the other chunks, with the same bytes. Memory doesn't grow with the number
    of images.

    Args:
        params: the content of params.yaml; of its values, ``backbone``, ``compute.device``, ``compute.precision`` and
            ``compute.numerics`` are used.
        data: the prepared dataset.
        view: a key of ``VIEWS``.
        target: the folder to write into.
        others: features of other studies, made by the same code. If some are of the same images, view, backbone and
            precision, they are copied instead.

    Raises:
        UserError: the backbone can't be made, the images have changed since they were prepared, or a feature is not
            finite.
    """
    data.check()
    backbone = Frozen(params)
    devices.warn_if_native(params["compute"]["numerics"], backbone.compute)
    key = {
        "view": view,
        "images": len(data.images),
        "num_features": backbone.num_features,
        "weights": digest(backbone.backbone),
        **backbone.described(),
        "images_content_hash": data.manifest["content_hash"],
    }
    if not any(_copied(other, target, key) for other in others):
        shape, file = (len(data.images), backbone.num_features), target / "features.npy"
        filling = chunks.Filling(file, shape, np.float32, chunk=CHUNK, key=key)
        for _ in filling.recorded("features", _computed(backbone, data.images, view, filling)):
            pass
        filling.finish()
        (target / "features.sha256").write_bytes(chunks.digests(file, CHUNK))
    content = hashlib.sha256((target / "features.sha256").read_bytes()).hexdigest()
    write_json(target / "manifest.json", {**key, "content_hash": content})


def _copied(other: Path, target: Path, key: dict[str, Any]) -> bool:
    """Copy the features in ``other`` if they have this key and are undamaged."""
    try:
        manifest, digests = read_json(other / "manifest.json"), (other / "features.sha256").read_bytes()
        if not _same(manifest, key) or chunks.digests(other / "features.npy", CHUNK) != digests:
            return False
    except (OSError, ValueError):
        return False
    for name in ("features.npy", "features.sha256"):
        shutil.copyfile(other / name, target / name)
    (target / chunks.JOURNAL).unlink(missing_ok=True)
    print(f"features: copied from {other}")
    return True


def _same(manifest: dict[str, Any], key: dict[str, Any]) -> bool:
    return {name: manifest.get(name) for name in key} == key


class Frozen:
    """A backbone in evaluation mode, with the conversion of stored images to its input.

    Args:
        params: the content of params.yaml.

    Raises:
        UserError: unknown backbone, weights that can't be loaded, or an input size that is too small.
    """

    def __init__(self, params: Params) -> None:
        section = params["backbone"]
        self.compute = devices.choose(params["compute"])
        devices.warn_if_emulated(self.compute)
        devices.make_deterministic(0, self.compute.device)  # weights may be random
        backbone = backbones.from_section(section).eval().requires_grad_(False)
        self.name, self.input_size, self.num_features = section["name"], section["input_size"], backbone.num_features
        # On a CPU, depthwise convolutions take half the time in this format; a GPU's bfloat16 is meant for it.
        self.backbone = backbone.to(self.compute.device).to(memory_format=torch.channels_last)
        self.shift, self.scale = (part.to(self.compute.device) for part in normalization(backbone))

    def __call__(self, images: npt.NDArray[np.uint8], view: str) -> npt.NDArray[np.float32]:
        """Features (b, D) float32 of images (b, S, S, 3) uint8."""
        with torch.inference_mode(), self.compute.autocast():
            pixels = VIEWS[view](to_device(images, self.compute.device))
            inputs = normalized(pixels, self.shift, self.scale, self.input_size, torch.channels_last)
            found: npt.NDArray[np.float32] = self.backbone(inputs).float().cpu().numpy()
        return found

    def described(self) -> dict[str, Any]:
        """What a result depends on besides the images and the weights, for the manifest."""
        return {
            "backbone": self.name,
            "input_size": self.input_size,
            "device": self.compute.device.type,
            "precision": self.compute.precision,
            "numerics": devices.kernels(self.compute),
            "torch": torch.__version__.split("+")[0],
        }


def digest(backbone: nn.Module) -> str:
    """SHA-256 of all weights and statistics of a backbone."""
    total = hashlib.sha256()
    for name, value in backbone.state_dict().items():
        total.update(name.encode())
        total.update(value.detach().cpu().contiguous().numpy().tobytes())
    return total.hexdigest()


def _computed(
    backbone: Frozen, images: npt.NDArray[np.uint8], view: str, filling: chunks.Filling
) -> Iterator[chunks.Done]:
    """Compute the chunks that are still to be filled: one per CPU core at a time, or one after the other on a GPU."""
    kind = backbone.compute.device.type
    threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(cores() if kind == "cpu" else 1, initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield from pool.map(partial(_chunk, backbone, images, view, filling), filling.todo)
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)


def _chunk(
    backbone: Frozen, images: npt.NDArray[np.uint8], view: str, filling: chunks.Filling, start: int
) -> chunks.Done:
    """Compute one chunk and write it at its position in the file."""
    rows, step = filling.rows(start), BATCH[backbone.compute.device.type]
    # Map the images again for each chunk: touched pages count as used memory as long as the mapping exists.
    part = np.array(_again(images)[rows.start : rows.stop])
    found = np.concatenate([backbone(part[first : first + step], view) for first in range(0, len(part), step)])
    finite = np.isfinite(found).all(axis=1)
    if not finite.all():
        raise UserError(
            f"features: {backbone.name} gives a value that is not finite for image {rows[int(np.argmin(finite))]:,} "
            "of ids.txt; set compute.precision: float32, or check backbone.weights"
        )
    return start, chunks.write(filling.file, start, len(images), found), {}


def _again(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    file = getattr(images, "filename", None)
    return np.load(file, mmap_mode="r") if file else images
