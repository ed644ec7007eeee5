"""Convert any image file to a square array of RGB pixels."""

import logging

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError, features

Pixels = npt.NDArray[np.uint8]

#: Maximum number of pixels of an image that is decoded: 300 MB as RGB. A header can claim any size.
LARGEST = 100_000_000
# Pillow's own check is off, since it would run before ours, which has a clearer message.
Image.MAX_IMAGE_PIXELS = None
# Pillow both logs an error and raises it; the exception is enough.
logging.getLogger("PIL").addHandler(logging.NullHandler())

#: File formats that are opened. Others run programs (EPS) or hold images whose size isn't in the header (ICO).
FORMATS = ("BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP", *["AVIF"] * bool(features.check("avif")))
#: Bits per channel of deep images. Cameras and scanners often store 12-bit values in 16 bits, see ``_deep``.
DEPTHS = (12, 16)
#: The TIFF tag for the bits per channel.
BITS_PER_SAMPLE = 258


def square(image: Image.Image, size: int) -> Pixels:
    """Convert an image's central square to (size, size, 3) uint8 RGB.

    The image is rotated as its EXIF data says. Grey, palette, CMYK, 12- and 16-bit and floating-point images become
    RGB (``_deep``, ``_real``); transparency is dropped. The central square is resized to ``size`` (bilinear with area
    averaging). If the shorter side is already ``size``, the pixels are kept. Broken EXIF data may cause a warning;
    the image is then treated as upright.

    Args:
        image: the opened image; it may be changed.
        size: side of the result in pixels.

    Raises:
        OSError, ValueError, SyntaxError and others: the image can't be decoded, or is too large.
    """
    # MPO: a JPEG with further images after the first.
    if image.format not in (None, "MPO", *FORMATS):
        raise ValueError(f"of kind {image.format}; expected one of {', '.join(FORMATS)}")
    width, height = image.size
    if not 0 < width * height <= LARGEST:
        raise ValueError(f"{width:,} x {height:,} pixels; from 1 to {LARGEST:,} in all are decoded")
    if min(width, height) > 2 * size:
        # Decode a JPEG at 1/2, 1/4 or 1/8 of its size if the result is still at least twice as large as needed.
        image.draft("RGB", (2 * size * width // min(width, height), 2 * size * height // min(width, height)))
    ImageOps.exif_transpose(image, in_place=True)
    rgb = _rgb(image)
    short = min(rgb.size)
    left, top = ((side - short) / 2 for side in rgb.size)
    if short == size:
        return np.asarray(rgb.crop((int(left), int(top), int(left) + size, int(top) + size)))
    # Resize only the central square: resizing the whole of a very long, thin image would make a huge one.
    box = (left, top, left + short, top + short)
    return np.asarray(rgb.resize((size, size), Image.Resampling.BILINEAR, box, reducing_gap=2.0))


def reason(error: Exception) -> str:
    """Why an image can't be read, in one line, given what was raised; deterministic for a given file."""
    if isinstance(error, UnidentifiedImageError):
        return "not an image of a known kind"  # Pillow's message contains an object's address
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = " ".join(str(error).split())[:200]
    return (
        text
        if text and isinstance(error, OSError | ValueError | SyntaxError)
        else f"{type(error).__name__} {text}".strip()
    )


def _rgb(image: Image.Image) -> Image.Image:
    # Pillow would clip these values at 255.
    if image.mode.startswith("I"):
        return Image.fromarray(_deep(image)).convert("RGB")
    if image.mode == "F":
        return Image.fromarray(_real(np.asarray(image))).convert("RGB")
    if image.mode == "P":
        # Via RGBA, which avoids a warning about the palette's transparent colour.
        return image.convert("RGBA").convert("RGB")
    return image.convert("RGB")


def _deep(image: Image.Image) -> Pixels:
    """Integer pixels as uint8: the upper 8 of 16 bits, or of 12 if the file says so or no value needs more."""
    values = np.asarray(image).clip(0, 65535)
    declared = getattr(image, "tag_v2", {}).get(BITS_PER_SAMPLE, DEPTHS[-1:])[0]
    used = max(8, int(values.max()).bit_length())
    bits = declared if declared in DEPTHS[:-1] else next(depth for depth in DEPTHS if used <= depth)
    return (values >> (bits - 8)).astype(np.uint8)


def _real(values: npt.NDArray[np.floating]) -> Pixels:
    """Floating-point pixels as uint8.

    The range is assumed to be 0 to 1, 0 to 255 or 0 to 65535: the smallest that contains the maximum. Negative values
    become 0.

    Raises:
        ValueError: a pixel is NaN, infinite or larger than 65535.
    """
    if not np.isfinite(values).all():
        raise ValueError("floating-point pixels that are no numbers")
    largest = next((top for top in (1.0, 255.0, 65535.0) if values.max() <= top), None)
    if largest is None:
        raise ValueError(f"floating-point pixels up to {values.max():g}; expected at most 1, 255 or 65535")
    return np.round(values.clip(0) * (255 / largest)).astype(np.uint8)
