"""What the server takes from a client, and what it says to every client: sizes, times, hosts, headers."""

import asyncio
from email.message import Message

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.types import Message as Event

#: Bytes of a request's body, at most.
BYTES = 20_000_000
#: Seconds in which a request's body must arrive, and its head (see ``server.Protocol``).
BODY_SECONDS, HEAD_SECONDS = 30.0, 10.0
#: Bodies that are received or computed at the same time, at most: their memory is bounded by this times ``BYTES``.
BODIES = 64
#: Parts of a form, at most.
PARTS = 32
#: The page needs nothing from elsewhere, and nobody may show it in a frame.
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}


def error(status: int, message: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """The answer to a request that can't be answered: one line."""
    return JSONResponse({"error": " ".join(message.split())}, status, headers)


class Bodies:
    """Receives the bodies of requests within the limits.

    Args:
        most: number of bytes of a body, at most.
        seconds: time in which a body must arrive.
        together: number of bodies at the same time, at most.
    """

    def __init__(self, most: int = BYTES, seconds: float = BODY_SECONDS, together: int = BODIES) -> None:
        self.most, self.seconds, self._free = most, seconds, together

    async def __aenter__(self) -> "Bodies":
        if not self._free:
            raise HTTPException(503, "too many queries at once; try again", {"retry-after": "1"})
        self._free -= 1
        return self

    async def __aexit__(self, *_: object) -> None:
        self._free += 1

    async def of(self, request: Request) -> bytes:
        """Receive a request's body.

        Raises:
            HTTPException: 413 if it is too large, 408 if it is too slow, 400 if the client goes or it is empty.
        """
        too_large = HTTPException(413, f"body: expected at most {self.most:,} bytes")
        if "expect" in request.headers and int(request.headers.get("content-length", 0)) > self.most:
            raise too_large  # this client waits for it before it sends the body
        body, size = bytearray(), 0
        try:
            async with asyncio.timeout(self.seconds):
                async for part in request.stream():
                    size += len(part)
                    if size <= self.most:
                        body += part
                    else:  # go on reading, since most clients read the answer only after they have sent all
                        body.clear()
        except TimeoutError:
            late = f"body: expected within {self.seconds:g} seconds"
            raise HTTPException(408, late, {"connection": "close"}) from None
        except ClientDisconnect:
            raise HTTPException(400, "body: cut short") from None
        if size > self.most:
            raise too_large
        if not size:
            raise HTTPException(400, "body: expected an image file or a vector; found nothing")
        return bytes(body)


def uploaded(body: bytes, content_type: str) -> bytes:
    """The query in a body: the whole of it, or the one file in multipart/form-data.

    Raises:
        HTTPException: 400 if the multipart is broken, or has not one file.
    """
    head = Message()
    head["content-type"] = content_type
    if head.get_content_type() != "multipart/form-data":
        return body
    boundary = (head.get_boundary() or "").encode("latin-1", "replace")
    parts = (b"\r\n" + body).split(b"\r\n--" + boundary, PARTS)
    if not boundary or len(parts) < 3 or not parts[-1].startswith(b"--"):
        raise HTTPException(400, "multipart: expected parts between the boundaries that its head names")
    files = []
    for part in parts[1:-1]:
        fields, found, content = part.partition(b"\r\n\r\n")
        if not found:
            raise HTTPException(400, "multipart: expected an empty line after the head of each part")
        if b"filename" in fields.lower():
            files.append(content)
    if len(files) != 1:
        raise HTTPException(400, f"multipart: expected one file; found {len(files)}")
    return files[0]


class Guard:
    """Puts the security headers on every answer, and refuses requests for other hosts.

    A page elsewhere can point a name of its own to this machine and then read what a server here answers (DNS
    rebinding); the request then names that host.

    Args:
        app: the application.
        hosts: names by which clients may reach the server, without port; None for any.
    """

    def __init__(self, app: ASGIApp, hosts: set[str] | None) -> None:
        self._app, self._hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def guarded(event: Event) -> None:
            if event["type"] == "http.response.start":
                event["headers"] = [*event["headers"], *((k.encode(), v.encode()) for k, v in HEADERS.items())]
            await send(event)

        if self._hosts is not None and _host(scope) not in self._hosts:
            names = ", ".join(sorted(self._hosts))
            refusal = error(421, f"host: expected one of {names}")
            await refusal(scope, receive, guarded)
        else:
            await self._app(scope, receive, guarded)


def _host(scope: Scope) -> str:
    """The host that a request names, without port."""
    given = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "")
    name, colon, port = given.rpartition(":")
    return (name if colon and port.isdecimal() else given).lower()
