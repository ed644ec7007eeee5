"""Any picture file as a square of RGB pixels."""

import warnings

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

Pixels = npt.NDArray[np.uint8]

#: Pixels of the largest picture that is decoded: 300 MB as RGB. A header can claim any size.
LARGEST = 100_000_000
# Checked here, before decoding and with a message of ours; Pillow's own check would come first.
Image.MAX_IMAGE_PIXELS = None


def square(picture: Image.Image, size: int) -> Pixels:
    """A picture's centre as (size, size, 3) uint8.

    Turned upright as its EXIF data says; grey, palette, CMYK and 16-bit pictures become RGB, transparency is
    dropped; resized (bilinear, averaging over areas) so that the short side is ``size``; then the centre is cut
    out. A picture that is a square of that size already keeps its pixels.

    Raises:
        OSError, ValueError, SyntaxError: it can't be decoded, or is too large.
    """
    width, height = picture.size
    if width * height > LARGEST:
        raise ValueError(f"{width:,} x {height:,} pixels; at most {LARGEST:,} in all are decoded")
    if min(width, height) > 2 * size:
        # A JPEG is decoded at a half, a quarter or an eighth where that is still twice as large as needed.
        picture.draft("RGB", (2 * size * width // min(width, height), 2 * size * height // min(width, height)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # broken EXIF data; the picture is upright then
        upright = ImageOps.exif_transpose(picture)
    rgb = _rgb(upright)
    scale = size / min(rgb.size)
    if scale != 1:
        resized = tuple(max(size, round(side * scale)) for side in rgb.size)
        rgb = rgb.resize((resized[0], resized[1]), Image.Resampling.BILINEAR, reducing_gap=2.0)
    left, top = ((side - size) // 2 for side in rgb.size)
    return np.asarray(rgb.crop((left, top, left + size, top + size)))


def _rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I;16") or picture.mode == "I":
        # Pillow would cut 16-bit values off at 255.
        return Image.fromarray((np.asarray(picture).clip(0, 65535) // 256).astype(np.uint8)).convert("RGB")
    if picture.mode == "P":
        # By way of RGBA: a palette's transparent colour would otherwise be a warning.
        return picture.convert("RGBA").convert("RGB")
    return picture.convert("RGB")
