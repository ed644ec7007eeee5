"""``shapes``: drawn images of coloured shapes with one to three labels each, as many as are asked for."""

import math
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from pipeline.datasets import Dataset
from pipeline.runtime.errors import UserError
from pipeline.runtime.ranges import NonNegativeInt, PositiveInt

CLASSES = "arrow bar circle cross diamond hexagon ring square star triangle".split()
# Independent streams of one seed.
_LABELS, _DRAWING = 0, 1
# Number of 64-bit random words that each image consumes before its noise.
_WORDS = 32
# Maximum distance of a shape's hue from its class's hue, as a fraction of the colour circle.
_HUE = 0.15


class Shapes(Dataset):
    """Synthetic images: one shape for each label of an image, on a noisy background with a colour gradient.

    The label is the kind of shape. Position, size, tilt, saturation and brightness are independent of the label. The
    hue is drawn from about a third of the colour circle around the class's hue, so that short training is enough to
    learn the classes. Shapes may overlap.

    Image ``row`` and its labels depend only on ``seed``, ``row`` and ``side``, not on ``images``. All random numbers
    are raw Philox output, which NumPy keeps the same in every version. The edges of shapes depend on the installed
    version of Pillow. Only labels and ids are kept in memory.

    Args:
        path: null, since there are no files.
        images: number of images.
        seed: determines the images and their labels.
        side: side in pixels of the square on which an image is drawn; ``image_size`` is the stored size.

    Raises:
        UserError: ``path`` is given.
    """

    def __init__(
        self, *, path: str | None, images: PositiveInt = 2000, seed: NonNegativeInt = 0, side: PositiveInt = 64
    ) -> None:
        if path is not None:
            raise UserError(f"dataset.path: expected null (shapes are drawn), found {path!r}")
        self.seed, self.side = seed, side
        self.class_names = CLASSES
        self.ids = [str(row) for row in range(images)]
        words = _philox(seed, _LABELS).random_raw((images, 1 + len(CLASSES)))
        # Put the classes of each row in random order; the first one, two or three are its labels.
        kinds = np.argsort(words[:, 1:], axis=1, kind="stable")
        counts = 1 + words[:, :1] % np.uint64(3)
        self.labels = np.zeros((images, len(CLASSES)), np.uint8)
        np.put_along_axis(self.labels, kinds, (np.arange(len(CLASSES)) < counts).astype(np.uint8), axis=1)

    def image(self, row: int) -> Image.Image:
        """Draw the image of a row: (side, side) RGB."""
        side = self.side
        stream = _philox(self.seed, _DRAWING, row)
        numbers = iter(((stream.random_raw(_WORDS) >> np.uint64(11)) * 2.0**-53).tolist())
        image = _ground(side, next(numbers), next(numbers))
        draw = ImageDraw.Draw(image)
        # Each shape is placed near the centre of a different quarter of the image.
        quarters = [(0.3, 0.3), (0.7, 0.3), (0.3, 0.7), (0.7, 0.7)]
        for kind in np.flatnonzero(self.labels[row]):
            x, y = quarters.pop(int(next(numbers) * len(quarters)))
            x, y = x + 0.2 * (next(numbers) - 0.5), y + 0.2 * (next(numbers) - 0.5)
            radius, tilt = 0.14 + 0.12 * next(numbers), 0.5 * (next(numbers) - 0.5)
            hue = kind / len(CLASSES) + _HUE * (2 * next(numbers) - 1)
            colour = _colour(hue, 0.6 + 0.4 * next(numbers), 0.5 + 0.5 * next(numbers))
            _draw(draw, CLASSES[kind], x * side, y * side, radius * side, tilt, colour)
        noise = stream.random_raw(-(-side * side * 3 // 8)).astype("<u8").view(np.uint8)[: side * side * 3]
        noisy = np.asarray(image, np.int16) + noise.reshape(side, side, 3) // 4 - 32
        return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def _philox(seed: int, stream: int, block: int = 0) -> Any:
    """A Philox bit generator. Different streams and blocks don't overlap (each block has 2^64 counter values)."""
    # Larger seeds are reduced modulo 2^64.
    return np.random.Philox(
        key=np.array([seed % 2**64, stream], np.uint64), counter=np.array([0, block, 0, 0], np.uint64)
    )


def _colour(hue: float, saturation: float, value: float) -> tuple[int, int, int]:
    """Convert HSV to RGB bytes: hue as a fraction of the colour circle, saturation and value in [0, 1]."""
    parts = ((hue * 6 + shift) % 6 for shift in (5, 3, 1))
    red, green, blue = (round(255 * value * (1 - saturation * max(0.0, min(part, 4 - part, 1.0)))) for part in parts)
    return red, green, blue


def _ground(side: int, first: float, second: float) -> Image.Image:
    """The background: a horizontal gradient between two colours of low saturation, given by their hues."""
    share = np.linspace(0, 1, side)[None, :, None]
    left, right = (np.array(_colour(hue, 0.3, 0.5)) for hue in (first, second))
    row = np.round(left * (1 - share) + right * share).astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(np.broadcast_to(row, (side, side, 3))))


def _around(*corners: tuple[float, float]) -> list[tuple[float, float]]:
    """Corners (x, y) from polar coordinates: distance from the centre, and angle as a fraction of a full turn."""
    return [(distance * math.sin(math.tau * turn), -distance * math.cos(math.tau * turn)) for distance, turn in corners]


#: Corners at tilt 0 around (0, 0), at a distance of about 1 or less. Circle and ring have no corners.
_CORNERS: dict[str, list[tuple[float, float]]] = {
    "arrow": [(0, -1), (0.8, -0.1), (0.3, -0.1), (0.3, 0.9), (-0.3, 0.9), (-0.3, -0.1), (-0.8, -0.1)],
    "bar": [(-1, -0.22), (1, -0.22), (1, 0.22), (-1, 0.22)],
    "cross": [
        (-0.25, -0.9), (0.25, -0.9), (0.25, -0.25), (0.9, -0.25), (0.9, 0.25), (0.25, 0.25),
        (0.25, 0.9), (-0.25, 0.9), (-0.25, 0.25), (-0.9, 0.25), (-0.9, -0.25), (-0.25, -0.25),
    ],
    "diamond": [(0, -1), (0.6, 0), (0, 1), (-0.6, 0)],
    "hexagon": _around(*((0.9, turn / 6) for turn in range(6))),
    "square": [(-0.7, -0.7), (0.7, -0.7), (0.7, 0.7), (-0.7, 0.7)],
    "star": _around(*((1.0 if turn % 2 == 0 else 0.4, turn / 10) for turn in range(10))),
    "triangle": _around(*((1.0, turn / 3) for turn in range(3))),
}  # fmt: skip


def _draw(
    draw: ImageDraw.ImageDraw, kind: str, x: float, y: float, radius: float, tilt: float, colour: tuple[int, int, int]
) -> None:
    if kind not in _CORNERS:
        reach = 0.85 * radius
        box = (round(x - reach), round(y - reach), round(x + reach), round(y + reach))
        if kind == "circle":
            draw.ellipse(box, fill=colour)
        else:
            draw.ellipse(box, outline=colour, width=max(1, round(0.3 * radius)))
        return
    cos, sin = math.cos(tilt), math.sin(tilt)
    # Round to whole pixels, so that the last digit of a sine, which varies between machines, doesn't matter.
    corners = [
        (round(x + radius * (cos * a - sin * b)), round(y + radius * (sin * a + cos * b))) for a, b in _CORNERS[kind]
    ]
    draw.polygon(corners, fill=colour)
