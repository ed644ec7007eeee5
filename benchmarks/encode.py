"""Milliseconds from a picture to its code, by backbone.

    python -m benchmarks.encode [--backbones cnn:32 efficientnet_lite0:192] [--rounds 5]

The picture is a JPEG of 960 x 640 pixels. *Decode* is what ``Encoder.pixels`` does: read, rotate, cut, resize.
*Network* is ``Encoder.codes_of`` for one image, and for 8 images, per image: by torch, and by ONNX Runtime, which an
index uses. Weights are random, which changes no time. All cores; medians of the rounds.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image

from pipeline.encoding import device as devices
from pipeline.encoding.head import LINEAR
from pipeline.encoding.network import build
from pipeline.operations.model.encoder import ONNX, Encoder
from pipeline.operations.model.files import write_folder
from pipeline.operations.model.onnx_file import export
from pipeline.params import schema

BACKBONES = [
    "cnn:32", "alexnet:224", "resnet18:224", "vgg11:224",
    "efficientnet_lite0:128", "efficientnet_lite0:192", "efficientnet_lite0:224",
]  # fmt: skip
BITS = 64


def photo() -> bytes:
    """A JPEG of 960 x 640 pixels with structure at several scales."""
    random, picture = np.random.default_rng(0), np.zeros((640, 960, 3))
    for scale in (4, 16, 64):
        coarse = random.integers(0, 85, (640 // scale, 960 // scale, 3))
        picture += coarse.repeat(scale, axis=0).repeat(scale, axis=1)
    stream = BytesIO()
    Image.fromarray(picture.astype(np.uint8)).save(stream, "JPEG", quality=90)
    return stream.getvalue()


def encoders(name: str, size: int) -> tuple[Encoder, Encoder]:
    """By torch, and by ONNX Runtime."""
    compute = devices.choose(
        {"device": "cpu", "precision": "float32", "numerics": "native", "threads": torch.get_num_threads()}
    )
    section: schema.Backbone = {"name": name, "weights": "none", "input_size": size, "frozen": True}
    with TemporaryDirectory() as made:
        folder = Path(made)
        about = {"backbone": section, "bits": BITS, "precision": "float32", "image_size": size, "head": LINEAR}
        network = build(section, BITS, compute, LINEAR).eval()
        write_folder(network.state_dict(), about, folder)
        export(name, folder, folder / ONNX)
        return Encoder(network, image_size=size), Encoder.load(folder, "cpu")


def milliseconds(run: Callable[[], object], rounds: int) -> float:
    run()
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return 1000 * median(seconds)


def row(name: str, size: int, rounds: int) -> str:
    picture, (by_torch, by_onnx) = photo(), encoders(name, size)
    image = by_torch.pixels(picture)
    eight = np.stack([image] * 8)
    decode = milliseconds(lambda: by_torch.pixels(picture), rounds)
    network = [
        milliseconds(partial(made.codes_of, images), rounds) / len(images)
        for made in (by_torch, by_onnx)
        for images in (image[None], eight)
    ]
    return f"| {name} | {size} | {' | '.join(f'{value:.1f}' for value in [decode, *network])} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbones", nargs="+", default=BACKBONES, metavar="NAME:PIXELS")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    names = ["pixels", "decode"] + [f"{by}, {how}" for by in ("torch", "ONNX") for how in ("one image", "each of 8")]
    print(f"| backbone | {' | '.join(names)} |\n| --- |{' ---: |' * len(names)}")
    for backbone in given.backbones:
        name, size = backbone.split(":")
        print(row(name, int(size), given.rounds), flush=True)


if __name__ == "__main__":
    main()
