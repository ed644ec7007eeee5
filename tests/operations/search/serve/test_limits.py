"""Bodies that are too large, too slow, cut short or broken; other hosts."""

import asyncio
from typing import Any

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request

from pipeline.operations.search.serve.limits import Bodies, uploaded
from pipeline.operations.search.serve.service import check_scans
from pipeline.runtime.errors import UserError

FORM = "multipart/form-data; boundary=XX"


def request(parts: list[bytes | None], headers: dict[str, str] | None = None) -> Request:
    """A request whose body arrives in parts; None stands for a part that never comes."""
    waiting = iter(parts)

    async def receive() -> dict[str, Any]:
        part = next(waiting, b"end")
        if part is None:
            await asyncio.sleep(60)
        if part == b"end":
            return {"type": "http.request", "body": b"", "more_body": False}
        return {"type": "http.request", "body": part, "more_body": True}

    raw = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    return Request({"type": "http", "method": "POST", "headers": raw}, receive)


async def received(bodies: Bodies, asked: Request) -> bytes:
    async with bodies:
        return await bodies.of(asked)


@pytest.mark.parametrize(
    ("parts", "headers", "status"),
    [
        ([b"a" * 10, b"b"], {}, 413),
        ([b"a" * 8] * 1000, {}, 413),
        ([None], {"expect": "100-continue", "content-length": "11"}, 413),
        ([b"a", None], {}, 408),
        ([], {}, 400),
    ],
)
def test_bodies_outside_the_limits_are_refused(parts: list[bytes | None], headers: dict[str, str], status: int) -> None:
    with pytest.raises(HTTPException) as refused:
        asyncio.run(received(Bodies(most=10, seconds=0.2), request(parts, headers)))
    assert refused.value.status_code == status


def test_a_body_at_the_limit_arrives_whole() -> None:
    assert asyncio.run(received(Bodies(most=10), request([b"abcde", b"", b"fghij"]))) == b"abcdefghij"


def test_bodies_at_once_are_bounded() -> None:
    async def three() -> list[Any]:
        bodies = Bodies(seconds=0.2, together=2)
        asked = [received(bodies, request(parts)) for parts in ([b"a", None], [b"b", None], [b"c"])]
        found = await asyncio.gather(*asked, return_exceptions=True)
        return [*found, await received(bodies, request([b"d"]))]

    slow, second, third, later = asyncio.run(three())
    assert (slow.status_code, second.status_code, later) == (408, 408, b"d"), "who ends makes place for another"
    assert third.status_code == 503 and third.headers == {"retry-after": "1"}


def part(head: str, content: bytes) -> bytes:
    return b"--XX\r\n" + head.encode() + b"\r\n\r\n" + content + b"\r\n"


FILE = 'Content-Disposition: form-data; name="image"; filename="a.png"\r\nContent-Type: image/png'
FIELD = 'Content-Disposition: form-data; name="count"'


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n\r\n--X\r\n\r\n", b"", b"\r\n"])
def test_a_file_in_a_form_is_taken_whole(content: bytes) -> None:
    body = b"preamble\r\n" + part(FIELD, b"3") + part(FILE, content) + b"--XX--\r\nepilogue"
    assert uploaded(body, FORM) == content
    assert uploaded(body, 'multipart/form-data; boundary="XX"') == content
    assert uploaded(body, "image/png") == body, "another type is a file as it is"


@pytest.mark.parametrize(
    ("body", "kind", "said"),
    [
        (part(FILE, b"x") + b"--XX--", "multipart/form-data", "boundaries"),
        (part(FILE, b"x") + b"--XX--", "multipart/form-data; boundary=YY", "boundaries"),
        (part(FILE, b"x"), FORM, "boundaries"),
        (b"--XX--", FORM, "boundaries"),
        (b"", FORM, "boundaries"),
        (b"--XX\r\nno head\r\n--XX--", FORM, "empty line"),
        (part(FIELD, b"3") + b"--XX--", FORM, "found 0"),
        (part(FILE, b"x") + part(FILE, b"y") + b"--XX--", FORM, "found 2"),
        (part(FILE, b"x") + part(FIELD, b"3") * 100_000 + b"--XX--", FORM, "boundaries"),
    ],
)
def test_a_broken_form_is_refused(body: bytes, kind: str, said: str) -> None:
    with pytest.raises(HTTPException, match=said) as refused:
        uploaded(body, kind)
    assert refused.value.status_code == 400


def test_a_jpeg_of_many_scans_is_refused() -> None:
    check_scans(b"\xff\xd8" + b"\xff\xda" * 500)
    check_scans(b"\x89PNG" + b"\xff\xda" * 501)
    with pytest.raises(UserError, match="more than 500 scans"):
        check_scans(b"\xff\xd8" + b"\xff\xda" * 501)
