"""Any picture file as a square of RGB pixels."""

import logging

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

Pixels = npt.NDArray[np.uint8]

#: Pixels of the largest picture that is decoded: 300 MB as RGB. A header can claim any size.
LARGEST = 100_000_000
# Checked here, before decoding and with a message of ours; Pillow's own check would come first.
Image.MAX_IMAGE_PIXELS = None
# Pillow tells what is wrong with a file twice; the exception is enough.
logging.getLogger("PIL").addHandler(logging.NullHandler())

#: Kinds of file that are opened. Others run programs (EPS) or hold pictures of a size that their header doesn't tell
#: (ICO).
FORMATS = ("BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")


def square(picture: Image.Image, size: int) -> Pixels:
    """A picture's centre as (size, size, 3) uint8.

    Turned upright as its EXIF data says; grey, palette, CMYK and 16-bit pictures become RGB, transparency is
    dropped; the square in the centre is resized (bilinear, averaging over areas) to ``size``. A picture whose short
    side is ``size`` already keeps its pixels. Broken EXIF data may be a warning; the picture is upright then.

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
    if picture.mode.startswith("I;16") or picture.mode == "I":
        # Pillow would cut 16-bit values off at 255.
        return Image.fromarray((np.asarray(picture).clip(0, 65535) // 256).astype(np.uint8)).convert("RGB")
    if picture.mode == "P":
        # By way of RGBA: a palette's transparent colour would otherwise be a warning.
        return picture.convert("RGBA").convert("RGB")
    return picture.convert("RGB")
