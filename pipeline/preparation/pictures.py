"""Any picture file as a square of RGB pixels."""

import logging

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, features

Pixels = npt.NDArray[np.uint8]

#: Pixels of the largest picture that is decoded: 300 MB as RGB. A header can claim any size.
LARGEST = 100_000_000
# Checked here, before decoding and with a message of ours; Pillow's own check would come first.
Image.MAX_IMAGE_PIXELS = None
# Pillow tells what is wrong with a file twice; the exception is enough.
logging.getLogger("PIL").addHandler(logging.NullHandler())

#: Kinds of file that are opened. Others run programs (EPS) or hold pictures of a size that their header doesn't tell
#: (ICO).
FORMATS = ("BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP", *["AVIF"] * bool(features.check("avif")))
#: Bits that a channel may have. Cameras and scanners often store fewer in 16, so what no value needs isn't counted.
DEPTHS = (12, 16)
#: The tag that holds a TIFF's bits a channel.
BITS_PER_SAMPLE = 258


def square(picture: Image.Image, size: int) -> Pixels:
    """A picture's centre as (size, size, 3) uint8.

    Turned upright as its EXIF data says; grey, palette, CMYK, 12- and 16-bit and floating-point pictures become RGB
    (``_deep``, ``_real``), transparency is dropped; the square in the centre is resized (bilinear, averaging over
    areas) to ``size``. A picture whose short side is ``size`` already keeps its pixels. Broken EXIF data may be a
    warning; the picture is upright then.

    Raises:
        OSError, ValueError, SyntaxError and others: it can't be decoded, or is too large.
    """
    # MPO: a JPEG with more pictures behind the first.
    if picture.format not in (None, "MPO", *FORMATS):
        raise ValueError(f"of kind {picture.format}; expected one of {', '.join(FORMATS)}")
    width, height = picture.size
    if not 0 < width * height <= LARGEST:
        raise ValueError(f"{width:,} x {height:,} pixels; from 1 to {LARGEST:,} in all are decoded")
    if min(width, height) > 2 * size:
        # A JPEG is decoded at a half, a quarter or an eighth where that is still twice as large as needed.
        picture.draft("RGB", (2 * size * width // min(width, height), 2 * size * height // min(width, height)))
    ImageOps.exif_transpose(picture, in_place=True)
    rgb = _rgb(picture)
    short = min(rgb.size)
    left, top = ((side - short) / 2 for side in rgb.size)
    if short == size:
        return np.asarray(rgb.crop((int(left), int(top), int(left) + size, int(top) + size)))
    # The centre alone: as a whole, a line of pixels would become as wide as it is long.
    box = (left, top, left + short, top + short)
    return np.asarray(rgb.resize((size, size), Image.Resampling.BILINEAR, box, reducing_gap=2.0))


def _rgb(picture: Image.Image) -> Image.Image:
    # Pillow would cut these off at 255.
    if picture.mode.startswith("I"):
        return Image.fromarray(_deep(picture)).convert("RGB")
    if picture.mode == "F":
        return Image.fromarray(_real(np.asarray(picture))).convert("RGB")
    if picture.mode == "P":
        # By way of RGBA: a palette's transparent colour would otherwise be a warning.
        return picture.convert("RGBA").convert("RGB")
    return picture.convert("RGB")


def _deep(picture: Image.Image) -> Pixels:
    """The upper 8 of 16 bits; of 12, where the file says so or no value needs more."""
    values = np.asarray(picture).clip(0, 65535)
    declared = getattr(picture, "tag_v2", {}).get(BITS_PER_SAMPLE, DEPTHS[-1:])[0]
    used = max(8, int(values.max()).bit_length())
    bits = declared if declared in DEPTHS[:-1] else next(depth for depth in DEPTHS if used <= depth)
    return (values >> (bits - 8)).astype(np.uint8)


def _real(values: npt.NDArray[np.floating]) -> Pixels:
    """Floating-point pixels of 0 to 1, to 255 or to 65535, whichever is the least that holds the largest of them.

    Raises:
        ValueError: a pixel that isn't a number, or is larger.
    """
    if not np.isfinite(values).all():
        raise ValueError("floating-point pixels that are no numbers")
    largest = next((top for top in (1.0, 255.0, 65535.0) if values.max() <= top), None)
    if largest is None:
        raise ValueError(f"floating-point pixels up to {values.max():g}; expected at most 1, 255 or 65535")
    return np.round(values.clip(0) * (255 / largest)).astype(np.uint8)
