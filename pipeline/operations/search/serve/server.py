"""Run the server: take the port, open the index, answer until a signal ends it."""

import asyncio
import errno
import ipaddress
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from pipeline.operations.search.serve.app import create
from pipeline.operations.search.serve.limits import HEAD_SECONDS, Guard, error
from pipeline.operations.search.serve.service import Service
from pipeline.runtime.errors import UserError

#: Seconds for which requests that have begun are answered after a signal, at most.
GRACE = 10
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def serve(folder: Path, host: str, port: int) -> str:
    """Serve an index until SIGINT or SIGTERM; requests that have begun are answered before.

    Args:
        folder: the index.
        host: the address to listen on. Other machines reach the server unless it is a loopback address.
        port: the port; 0 for a free one.

    Raises:
        UserError: the port is taken, the host is none of this machine, or the index can't be opened.
    """
    with _listening(host, port) as listener:
        address, port = listener.getsockname()[:2]
        local = ipaddress.ip_address(address).is_loopback
        if not local:
            warning = f"warning: anyone who can reach {address}:{port} can search this index and see its images"
            print(warning, file=sys.stderr)
        service = Service(folder)
        try:
            name = f"[{address}]" if ":" in address else address
            print(f"open http://{name}:{port}  (Ctrl-C ends it)", flush=True)
            _run(service, listener, {"localhost", "127.0.0.1", "[::1]", name} if local else None)
        finally:
            service.close()
    return "ended"


def _listening(host: str, port: int) -> socket.socket:
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind)
        # As servers do, so that a restart needn't wait for the last connections to be forgotten.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)
    except OSError as why:
        if why.errno == errno.EADDRINUSE:
            raise UserError(f"serve: port {port} is taken; `--port 0` takes a free one") from None
        raise UserError(f"serve: can't listen on {host}, port {port}: {why.strerror}") from None
    return listener


def _run(service: Service, listener: socket.socket, hosts: set[str] | None) -> None:
    config = uvicorn.Config(
        Guard(create(service), hosts),
        http=Protocol, ws="none", lifespan="off", log_level="error", access_log=False, server_header=False,
        timeout_graceful_shutdown=GRACE,
    )  # fmt: skip
    # uvicorn takes the signals while it runs and raises them again at its end, where they would end this process.
    for one in SIGNALS:
        signal.signal(one, lambda *_: None)
    uvicorn.Server(config).run(sockets=[listener])


class Protocol(H11Protocol):
    """uvicorn's HTTP, but a client has to send the head of a request in time, and what is no HTTP gets JSON, too."""

    _due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._forget()
        elif self._due is None:
            self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        response = error(400, "expected a request of HTTP/1.1")
        headers = [*response.raw_headers, (b"connection", b"close")]
        for event in (
            h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
            h11.Data(data=bytes(response.body)),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _expect_head(self) -> None:
        self._due = self.loop.call_later(HEAD_SECONDS, self._end)

    def _end(self) -> None:
        self.transport.close()

    def _forget(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None
