"""Sixty malformed uploads and calls: each gets a clear answer, and the server goes on as before."""

import io
import random
import struct
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.operations.search.serve.limits import BYTES
from tests.conftest import ROOT
from tests.operations.search.serve.serving import Server, digits, picture

Call = tuple[str, str, bytes | None, dict[str, str]]


def png(width: int, height: int, data: bytes = b"") -> bytes:
    """A PNG whose head claims a size."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(data)), (b"IEND", b"")]
    parts = [struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def tiff_bomb() -> bytes:
    stream = io.BytesIO()
    Image.new("1", (60_000, 60_000)).save(stream, "TIFF", compression="group4")
    return stream.getvalue()


def noise() -> bytes:
    """A larger image, in which bytes can be cut and broken."""
    return picture(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8), "JPEG")


def uploads() -> Iterator[tuple[str, bytes]]:
    jpeg, small = noise(), picture(digits()[0][0])
    for part in (0.02, 0.1, 0.3, 0.5, 0.7):  # at 0.9, all pixels of the PNG are there
        yield f"jpeg-cut-{part}", jpeg[: int(len(jpeg) * part)]
        yield f"png-cut-{part}", small[: int(len(small) * part)]
    yield "jpeg-scans", jpeg[:-2] + b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00" * 2000 + b"\xff\xd9"
    yield "png-bomb", png(60_000, 60_000)
    yield "png-claims", png(2**31 - 1, 2**31 - 1)
    yield "png-long", png(2**31 - 1, 1)
    yield "png-none", png(0, 10)
    yield "png-no-pixels", png(10, 10)
    yield "tiff-bomb", tiff_bomb()
    yield "too-large", b"\xff\xd8" + b"a" * BYTES
    yield "empty", b""
    yield "text", b"hello"
    yield "not-utf-8", b"\xff\xfe\xfd" * 100
    yield "zeros", b"\0" * 10_000
    yield "svg", b'<svg xmlns="http://www.w3.org/2000/svg"/>'
    yield "html", b"<!doctype html><script>alert(1)</script>"
    yield "eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n/etc/passwd run\n"
    yield "pdf", b"%PDF-1.7\n"
    yield "zip", b"PK\x03\x04" + b"\0" * 50
    yield "path", b"/etc/passwd"
    yield "json", b'{"vector": [1, 2, 3]}'
    yield "gif-head", b"GIF89a"
    yield "webp-head", b"RIFF\x20\0\0\0WEBPVP8 "
    yield (
        "bmp-claims",
        b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 50_000, 50_000, 1, 24, 0, 0, 1, 1, 0, 0),
    )


def broken_forms() -> Iterator[Call]:
    form, image = {"content-type": "multipart/form-data; boundary=B"}, picture(digits()[0][0])
    file = b'--B\r\ncontent-disposition: form-data; name="a"; filename="b"\r\n\r\n' + image + b"\r\n"
    yield "form-open", "/api/search", file, form
    yield "form-no-boundary", "/api/search", file + b"--B--", {"content-type": "multipart/form-data"}
    yield "form-other-boundary", "/api/search", file + b"--B--", {"content-type": "multipart/form-data; boundary=C"}
    yield "form-two", "/api/search", file + file + b"--B--", form
    yield "form-none", "/api/search", b"--B--", form
    yield "form-headless", "/api/search", b"--B\r\nx\r\n--B--", form


def calls() -> Iterator[Call]:
    image = picture(digits()[0][0])
    yield from ((name, "/api/search", body, {}) for name, body in uploads())
    yield from broken_forms()
    for name, query in [
        ("count-0", "count=0"), ("count-huge", "count=1000000"), ("count-digits", "count=" + "9" * 5000),
        ("count-negative", "count=-5"), ("count-word", "count=ten"), ("count-real", "count=1.5"),
        ("count-bytes", "count=%ff%fe"), ("radius-negative", "radius=-1"), ("radius-large", "radius=33"),
        ("radius-word", "radius=any"), ("unknown-param", "radiu=3"),
    ]:  # fmt: skip
        yield name, f"/api/search?{query}", image, {}
    for name, path in [
        ("item-negative", "/api/items/-1"), ("item-huge", "/api/items/" + "9" * 30), ("item-word", "/api/items/one"),
        ("item-search", "/api/items/99999/search"), ("item-thumbnail", "/api/items/99999/thumbnail"),
        ("item-path", "/api/items/..%2f..%2fetc%2fpasswd"), ("page-path", "/page/..%2fapp.py"),
        ("page-other", "/page/app.py"), ("nothing", "/docs"), ("code-short", "/api/search?code=01"),
        ("code-letters", "/api/search?code=" + "x" * 32), ("code-none", "/api/search"),
        ("null", "/api/items/1%00"), ("dots", "/../../etc/passwd"),
    ]:  # fmt: skip
        yield name, path, None, {}


METHODS = [
    ("DELETE", "/api/items/1"),
    ("PUT", "/api/search"),
    ("POST", "/api/index"),
    ("PATCH", "/"),
    ("BREW", "/health"),
]


def check(answer: Any, name: str) -> None:
    assert 400 <= answer.status < 500, f"{name}: {answer.status} {answer.body[:200]!r}"
    assert list(answer.json) == ["error"], name
    line = answer.json["error"]
    assert line and "\n" not in line and len(line) < 300, f"{name}: {line}"
    for leak in ("Traceback", str(ROOT), "/tmp", "site-packages", '.py"', "0x"):
        assert leak not in line, f"{name}: {line}"


def test_sixty_malformed_calls_get_clear_answers(server: Server) -> None:
    everything = list(calls())
    assert len(everything) + len(METHODS) >= 60 and len({name for name, *_ in everything}) == len(everything)
    memory = []
    for seed in range(3):
        random.Random(seed).shuffle(everything)
        for name, path, body, headers in everything:
            check(server.ask(path, body, headers=headers), name)
        for method, path in METHODS:
            check(server.ask(path, method=method), f"{method} {path}")
        memory.append(server.memory())
    assert memory[2] - memory[0] < 30, f"resident memory in MB after each round: {memory}"
    assert server.log.read_text() == "", "nothing of this is a fault of the server"
    assert server.ask("/api/search?count=1", picture(digits()[0][0])).status == 200


@pytest.mark.parametrize("bomb", [png(60_000, 60_000), tiff_bomb()], ids=["png", "tiff"])
def test_a_bomb_is_refused_before_it_is_decoded(server: Server, bomb: bytes) -> None:
    server.ask("/api/search?count=1", picture(digits()[0][0]))
    before, began = server.memory("VmHWM"), time.monotonic()
    refused = server.ask("/api/search", bomb)
    assert refused.status == 422 and "60,000 x 60,000 pixels" in refused.json["error"]
    assert server.memory("VmHWM") - before < 50 and time.monotonic() - began < 10


def test_a_body_larger_than_it_claims_and_one_cut_short(server: Server, tmp_path: Path) -> None:
    image = picture(digits()[0][0])
    for length, given in ((len(image) + 50, image), (10**15, image)):
        connection = server.connect()
        connection.putrequest("POST", "/api/search")
        connection.putheader("content-length", str(length))
        connection.endheaders(given)
        connection.close()
    assert server.ask("/api/search?count=1", image).status == 200
    assert server.log.read_text() == ""
