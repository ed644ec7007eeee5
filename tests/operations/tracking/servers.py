"""Real servers on loopback: `mlflow server`, PostgreSQL, and a proxy that takes its time."""

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

#: Straight to loopback, whatever proxy the environment names.
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def mlflow_server(folder: Path, backend: str, port: int | None = None) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """An `mlflow server` that stores artifacts too; its address and process."""
    port = port or free_port()
    command = [
        sys.executable, "-m", "mlflow", "server", "--backend-store-uri", backend, "--port", str(port),
        "--artifacts-destination", str(folder / "artifacts"), "--workers", "2",
    ]  # fmt: skip
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"  # half of a start's time, for nothing used here
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
        )  # fmt: skip
        try:
            address = f"http://127.0.0.1:{port}"
            _wait(f"{address}/health", process, folder / "server.log")
            yield address, process
        finally:
            stop(process)


@contextmanager
def model_server(folder: Path, command: list[str], environment: dict[str, str]) -> Iterator[str]:
    """The address of a model's server, started by `mlflow models serve ... --port`; the port is appended here."""
    with (folder / "server.log").open("ab") as log:
        port = str(free_port())
        process = subprocess.Popen(
            [*command, port], cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            _wait(f"http://127.0.0.1:{port}/ping", process, folder / "server.log")
            yield f"http://127.0.0.1:{port}"
        finally:
            stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a server with its workers, at once."""
    if process.poll() is None:
        os.killpg(process.pid, 9)
        process.wait()


def _wait(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 120
    while True:
        try:
            DIRECT.open(address, timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()[-2000:]
            time.sleep(0.3)


@contextmanager
def postgresql() -> Iterator[str]:
    """A PostgreSQL cluster of its own on loopback, as MLflow's address of it; skips where there is none."""
    found = [file.parent for file in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if not found:
        pytest.skip("no PostgreSQL on this machine; install Debian's postgresql to run this test")
    pytest.importorskip("psycopg")
    # PostgreSQL won't run as root; its own user can't enter pytest's folders.
    as_user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
    with TemporaryDirectory() as name:
        if as_user:
            shutil.chown(name, "postgres")
        port, data = str(free_port()), f"{name}/data"
        make = [*as_user, str(max(found) / "initdb"), "-D", data, "-A", "trust", "-U", "mlflow", "--no-sync"]
        subprocess.run(make, cwd=name, check=True, capture_output=True, timeout=120)
        process = subprocess.Popen(
            [*as_user, str(max(found) / "postgres"), "-D", data, "-h", "127.0.0.1", "-p", port, "-k", name, "-F"],
            cwd=name, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        try:
            _wait_for(int(port), process)
            yield f"postgresql://mlflow@127.0.0.1:{port}/postgres"
        finally:
            stop(process)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    import psycopg

    deadline = time.monotonic() + 60
    while True:
        try:
            psycopg.connect(host="127.0.0.1", port=port, user="mlflow", dbname="postgres").close()
            return
        except psycopg.OperationalError:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.2)


@contextmanager
def slow_proxy(server: str, seconds: float) -> Iterator[str]:
    """What passes requests on to ``server`` and answers so much later; its address."""

    class Slow(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
            request = urllib.request.Request(server + self.path, body or None, headers, method=self.command)
            try:
                answer = DIRECT.open(request, timeout=60)
            except urllib.error.HTTPError as error:
                answer = error  # type: ignore[assignment]
            content = answer.read()
            time.sleep(seconds)
            try:
                self.send_response(answer.status)
                self.send_header("Content-Type", answer.headers.get("Content-Type", "application/json"))
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
            except OSError:
                pass  # who asked has gone

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

        def log_message(self, *_: object) -> None:
            pass

    proxy = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    thread = threading.Thread(target=proxy.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{proxy.server_address[1]}"
    finally:
        proxy.shutdown()
        proxy.server_close()
