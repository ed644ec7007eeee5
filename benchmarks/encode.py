"""Milliseconds from a picture to its code, by backbone.

    python -m benchmarks.encode [--backbones cnn:32 efficientnet_lite0:192] [--rounds 5]

The picture is a JPEG of 960 x 640 pixels. *Decode* is what ``Encoder.pixels`` does: read, rotate, cut, resize.
*Network* is ``Encoder.codes_of`` for one image, and for 8 images, per image. Weights are random, which changes no time.
All cores; medians of the rounds.
"""

import argparse
import time
from collections.abc import Callable
from io import BytesIO
from statistics import median

import numpy as np
import torch
from PIL import Image

from pipeline.encoding import device as devices
from pipeline.encoding.network import build
from pipeline.operations.model.encoder import Encoder
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


def encoder(name: str, size: int) -> Encoder:
    compute = devices.choose(
        {"device": "cpu", "precision": "float32", "numerics": "native", "threads": torch.get_num_threads()}
    )
    section: schema.Backbone = {"name": name, "weights": "none", "input_size": size, "frozen": False}
    return Encoder(build(section, BITS, compute).eval(), image_size=size)


def milliseconds(run: Callable[[], object], rounds: int) -> float:
    run()
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return 1000 * median(seconds)


def row(name: str, size: int, rounds: int) -> str:
    picture, made = photo(), encoder(name, size)
    image = made.pixels(picture)
    decode = milliseconds(lambda: made.pixels(picture), rounds)
    one = milliseconds(lambda: made.codes_of(image[None]), rounds)
    eight = milliseconds(lambda: made.codes_of(np.stack([image] * 8)), rounds) / 8
    return f"| {name} | {size} | {decode:.1f} | {one:.1f} | {eight:.1f} | {decode + one:.1f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbones", nargs="+", default=BACKBONES, metavar="NAME:PIXELS")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    names = ("pixels", "decode (ms)", "network, one image (ms)", "network, of 8 (ms each)", "one picture (ms)")
    print(f"| backbone | {' | '.join(names)} |\n| --- |{' ---: |' * len(names)}")
    for backbone in given.backbones:
        name, size = backbone.split(":")
        print(row(name, int(size), given.rounds), flush=True)


if __name__ == "__main__":
    main()
