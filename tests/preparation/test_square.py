"""Any image as a square: orientation, colours, sizes, and what is refused before it is decoded."""

import io
import struct
import subprocess
import sys
import time
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from pipeline.preparation.square import LARGEST, square

Pixels = npt.NDArray[np.uint8]

RED, GREEN, BLUE, WHITE = (220, 20, 30), (20, 200, 40), (10, 30, 210), (250, 250, 250)


def saved(image: Image.Image, kind: str, **options: Any) -> Image.Image:
    """The image as it comes back from a file."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return Image.open(io.BytesIO(stream.getvalue()))


def smooth(width: int, height: int) -> Image.Image:
    """Colours that change slowly: what resizing does to it can be told from what it should."""
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(3 * x / width + 2 * y / height), np.cos(4 * y / height), np.sin(5 * (x - y) / width)]
    return Image.fromarray((127 + 100 * np.stack(waves, axis=2)).astype(np.uint8))


def quarters(side: int) -> Image.Image:
    """Red, green / blue, white."""
    pixels = np.zeros((side, side, 3), np.uint8)
    half = side // 2
    pixels[:half, :half], pixels[:half, half:], pixels[half:, :half], pixels[half:, half:] = RED, GREEN, BLUE, WHITE
    return Image.fromarray(pixels)


# Orientation.

#: What has to be done to an upright image so that it's stored the way the tag says.
STORED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a, -1),
}


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_an_image_is_turned_upright_as_its_exif_says(orientation: int, kind: str) -> None:
    upright = np.asarray(quarters(32))
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](upright)))
    options: dict[str, Any] = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"lossless": True}}.get(kind, {})
    found = square(saved(stored, kind, exif=exif, **options), 32)
    assert np.abs(found.astype(int) - upright).max() <= (40 if kind == "JPEG" else 0)


def test_a_photo_on_its_side_is_cut_in_its_own_centre_after_draft_decoding() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    upright = smooth(300, 500)
    stored = upright.transpose(Image.Transpose.ROTATE_90)
    found = square(saved(stored, "JPEG", quality=95, exif=exif), 32)
    assert np.abs(found.astype(int) - square(upright, 32)).mean() < 2


@pytest.mark.parametrize("value", [0, 9, 255])
def test_an_orientation_that_does_not_exist_changes_nothing(value: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = value
    assert np.array_equal(square(saved(quarters(8), "PNG", exif=exif), 8), np.asarray(quarters(8)))


# Colours.


def middle(found: Pixels, expected: tuple[tuple[int, ...], ...], within: int) -> None:
    """The four quarters' middles have these colours."""
    side = len(found)
    places = [(side // 4, side // 4), (side // 4, -side // 4), (-side // 4, side // 4), (-side // 4, -side // 4)]
    for place, colour in zip(places, expected, strict=True):
        assert np.abs(found[place].astype(int) - colour).max() <= within, (place, colour)


COLOURS = (RED, GREEN, BLUE, WHITE)


def test_cmyk_jpeg_becomes_the_same_colours() -> None:
    file = saved(quarters(32).convert("CMYK"), "JPEG", quality=95)
    assert file.mode == "CMYK"
    middle(square(file, 32), COLOURS, 12)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_grey_images_have_three_equal_channels(kind: str) -> None:
    file = saved(smooth(32, 32).convert("L"), kind)
    assert file.mode == "L"
    found = square(file, 32)
    assert np.array_equal(found, np.repeat(np.asarray(file)[..., None], 3, axis=2))


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
@pytest.mark.parametrize("transparent", [None, 0, b"\x00\x80\xff"])
def test_palettes_become_their_colours_with_and_without_transparency(
    kind: str, transparent: Any, recwarn: pytest.WarningsRecorder
) -> None:
    if kind == "GIF" and isinstance(transparent, bytes):
        transparent = 1
    options = {} if transparent is None else {"transparency": transparent}
    file = saved(quarters(32).quantize(4), kind, **options)
    assert file.mode == "P"
    middle(square(file, 32), COLOURS, 3)
    assert not recwarn.list


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_dropped_and_the_colour_below_it_kept(mode: str) -> None:
    image = quarters(8).convert(mode)
    image.putalpha(0)
    expected = np.asarray(quarters(8).convert(mode[:-1]).convert("RGB"))
    assert np.array_equal(square(saved(image, "PNG"), 8), expected)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "MPO", "TIFF", "WEBP"])
def test_the_first_of_several_frames_counts(kind: str) -> None:
    options: dict[str, Any] = {"MPO": {"quality": 95}, "WEBP": {"lossless": True}}.get(kind, {})
    frames = [Image.new("RGB", (32, 32), BLUE), Image.new("RGB", (32, 32), WHITE)]
    middle(square(saved(quarters(32), kind, save_all=True, append_images=frames, **options), 32), COLOURS, 12)


def test_one_bit_becomes_black_and_white() -> None:
    bits = np.eye(8, dtype=bool)
    file = saved(Image.fromarray(bits), "PNG")
    assert file.mode == "1"
    assert np.array_equal(square(file, 8), np.repeat(bits[..., None] * np.uint8(255), 3, axis=2))


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_are_scaled_rather_than_clipped(kind: str) -> None:
    values = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    file = saved(Image.fromarray(values), kind)
    assert file.mode.startswith("I")
    assert np.array_equal(square(file, 8)[..., 0], values >> 8)


# Sizes.


@pytest.mark.parametrize("size", [1, 4, 32])
def test_a_square_of_that_size_keeps_its_pixels(size: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
    assert np.array_equal(square(saved(Image.fromarray(pixels), "PNG"), size), pixels)


@pytest.mark.parametrize(("width", "height"), [(12, 8), (8, 13)])
def test_a_short_side_of_that_size_is_cut_without_resizing(width: int, height: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    expected = pixels[:, 2:10] if width > height else pixels[2:10]
    assert np.array_equal(square(Image.fromarray(pixels), 8), expected)


@pytest.mark.parametrize(("width", "height"), [(100, 60), (60, 100), (20, 15), (500, 60), (700, 420)])
def test_the_short_side_becomes_the_size_and_the_centre_is_cut(width: int, height: int) -> None:
    """As resizing the whole image and then cutting its centre out would."""
    image, size = smooth(width, height), 30
    scale = size / min(width, height)
    whole = image.resize((round(width * scale), round(height * scale)), Image.Resampling.BILINEAR)
    left, top = (whole.width - size) // 2, (whole.height - size) // 2
    expected = np.asarray(whole.crop((left, top, left + size, top + size)), int)
    found = square(image, size)
    assert found.shape == (size, size, 3)
    assert np.abs(found - expected).max() <= 1


def test_shrinking_averages_rather_than_picks() -> None:
    """A fine chessboard becomes grey."""
    board = np.indices((256, 256)).sum(axis=0) % 2 * np.uint8(255)
    assert np.abs(square(Image.fromarray(board.astype(np.uint8)), 16).astype(int) - 127).max() <= 8


@pytest.mark.parametrize("shape", [(1, 5000), (5000, 1)])
def test_a_line_of_pixels_becomes_a_square_of_its_middle(shape: tuple[int, int]) -> None:
    line = np.zeros((*shape, 3), np.uint8)
    line.reshape(-1, 3)[2490:2510] = RED
    found = square(Image.fromarray(line), 32)
    assert found.shape == (32, 32, 3)
    assert (found == RED).all()


@pytest.mark.parametrize("side", [257, 600, 1600])
def test_draft_decoding_gives_nearly_what_full_decoding_gives(side: int) -> None:
    file = saved(smooth(side, side), "JPEG", quality=95)
    full = square(file.convert("RGB"), 32)  # decoded already, so no draft
    drafted = square(saved(smooth(side, side), "JPEG", quality=95), 32)
    assert np.abs(drafted.astype(int) - full).mean() < 1.5


def test_draft_decoding_is_used() -> None:
    file = saved(smooth(1600, 1600), "JPEG", quality=95)
    square(file, 32)
    assert file.size == (200, 200)


# What is refused.

WIDE = 60_000


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


HUGE = {
    "png": b"\x89PNG\r\n\x1a\n"
    + chunk(b"IHDR", struct.pack(">IIBBBBB", WIDE, WIDE, 8, 2, 0, 0, 0))
    + chunk(b"IDAT", zlib.compress(bytes(100_000)))
    + chunk(b"IEND", b""),
    "bmp": b"BM"
    + struct.pack("<IHHIIiiHHIIiiII", 10**5, 0, 0, 54, 40, WIDE, WIDE, 1, 24, 0, 0, 0, 0, 0, 0)
    + bytes(999),
    "gif": b"GIF89a"
    + struct.pack("<HHBBB", WIDE, WIDE, 0x80, 0, 0)
    + bytes(6)
    + b","
    + struct.pack("<HHHHB", 0, 0, WIDE, WIDE, 0)
    + b"\x02\x02\x44\x01\x00;",
}

OPEN = """
import io, resource, sys
from PIL import Image
from pipeline.preparation.square import square
content = sys.stdin.buffer.read()
Image.preinit()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    square(Image.open(io.BytesIO(content)), 32)
except ValueError as error:
    print(error)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize("kind", HUGE)
def test_a_huge_header_is_refused_without_allocating(kind: str) -> None:
    run = subprocess.run([sys.executable, "-c", OPEN], input=HUGE[kind], capture_output=True, check=True)
    said, grown = run.stdout.decode().splitlines()
    assert said == f"60,000 x 60,000 pixels; from 1 to {LARGEST:,} in all are decoded"
    assert int(grown) < 20_000  # kB; the pixels would be 10 GB


def test_a_huge_header_is_refused_quickly() -> None:
    start = time.perf_counter()
    with pytest.raises(ValueError, match="60,000 x 60,000"):
        square(Image.open(io.BytesIO(HUGE["png"])), 32)
    assert time.perf_counter() - start < 1


def test_an_extremely_long_line_costs_no_more_than_its_pixels() -> None:
    """Resized as a whole, this would be 10^9 pixels."""
    assert square(Image.new("L", (1_000_000, 1), 7), 32).tolist() == np.full((32, 32, 3), 7).tolist()


def test_an_image_without_pixels_is_refused() -> None:
    with pytest.raises(ValueError, match="0 x 5 pixels"):
        square(Image.new("RGB", (0, 5)), 4)


def test_a_kind_of_file_that_runs_programs_is_refused() -> None:
    stream = io.BytesIO()
    quarters(8).save(stream, "EPS")
    with pytest.raises(ValueError, match="of kind EPS; expected one of BMP"):
        square(Image.open(io.BytesIO(stream.getvalue())), 8)
