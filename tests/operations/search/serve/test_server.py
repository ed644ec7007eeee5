"""A real server process: what it answers, whom it refuses, how it starts and ends."""

import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.operations.model.encoder import Encoder
from pipeline.operations.search.index import MODEL, Index
from pipeline.operations.search.items import Items, Row
from tests.conftest import ROOT
from tests.operations.search.serve.serving import (
    BITS,
    COUNT,
    Server,
    digits,
    picture,
    served,
    vectors_index,
)


def bits(code: Any) -> str:
    return "".join(map(str, np.unpackbits(code, count=BITS)))


def expected(index: Path, code: Any, count: int, radius: int | None = None) -> list[dict[str, Any]]:
    opened = Index(index)
    return [
        {
            "id": one.item.id,
            "name": one.item.name,
            "labels": one.item.labels,
            "code": bits(opened.items.code(one.item.id)),
            "distance": one.distance,
        }
        for one in opened.search(code, count, radius)[0]
    ]


def test_an_image_finds_what_the_index_finds(server: Server, index: Path) -> None:
    image = picture(np.rot90(digits()[0][3]))
    code = Encoder.load(index / MODEL).codes([image])
    answer = server.ask("/api/search?count=7", image, headers={"content-type": "image/png"})
    assert answer.status == 200
    assert answer.json == {"code": bits(code[0]), "results": expected(index, code, 7)}
    form = b'--B\r\ncontent-disposition: form-data; name="a"; filename="b"\r\n\r\n' + image + b"\r\n--B--\r\n"
    same = server.ask("/api/search?count=7", form, headers={"content-type": "multipart/form-data; boundary=B"})
    assert same.json == answer.json
    assert server.ask(f"/api/search?count=7&code={bits(code[0])}").json == answer.json
    radius = answer.json["results"][3]["distance"]
    near = server.ask(f"/api/search?count=1000&radius={radius}", image).json["results"]
    assert near == expected(index, code, 1000, radius) and near


def test_an_item_finds_itself_first_or_its_equals(server: Server, index: Path) -> None:
    answer = server.ask("/api/items/17/search").json
    code = Index(index).items.code(17)
    assert answer == {"code": bits(code[0]), "results": expected(index, code, 20)}
    assert answer["results"][0]["distance"] == 0
    assert server.ask("/api/items/17").json == {
        "id": 17,
        "name": "17",
        "labels": [str(digits()[1][17])],
        "code": bits(code[0]),
    }
    assert server.ask("/api/items/17/search?count=1&radius=0").json["results"][0]["distance"] == 0


def test_a_thumbnail_is_kept_by_its_tag(server: Server) -> None:
    image = server.ask("/api/items/5/thumbnail")
    assert (image.status, image.headers["content-type"], image.body) == (200, "image/png", picture(digits()[0][5]))
    again = server.ask("/api/items/5/thumbnail", headers={"if-none-match": image.headers["etag"]})
    assert (again.status, again.body) == (304, b"")


def test_it_says_what_it_serves(server: Server) -> None:
    about = server.ask("/api/index").json
    assert (about["kind"], about["count"], about["code_length"], about["vectors"]) == ("flat", COUNT, BITS, False)
    assert (about["cell"], about["dataset"], about["classes"]) == ("csq-wr-32-0", "digits", list("0123456789"))
    assert server.ask("/health").json == {"status": "ok"}
    schema = server.ask("/openapi.json").json
    item = "/api/items/{id}"
    assert set(schema["paths"]) == {
        "/api/search", "/api/index", item, f"{item}/search", f"{item}/thumbnail", "/health",
    }  # fmt: skip
    assert set(schema["paths"]["/api/search"]) == {"get", "post"}
    assert "4XX" in schema["paths"]["/api/search"]["post"]["responses"]


@pytest.mark.parametrize("path", ["/", "/page/script.js", "/api/index", "/nothing", "/api/items/x"])
def test_every_answer_has_the_security_headers(server: Server, path: str) -> None:
    headers = server.ask(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
    assert headers["x-content-type-options"] == "nosniff" and "server" not in headers


def test_the_page_asks_nothing_of_others() -> None:
    for file in (ROOT / "pipeline/operations/search/serve/page").iterdir():
        found = re.findall(r"https?://[^\"' )]+", file.read_text())
        assert set(found) <= {"http://www.w3.org/2000/svg"}, file


def test_another_hosts_name_is_refused(server: Server) -> None:
    refused = server.ask("/api/index", headers={"host": "attacker.example:8000"})
    assert (refused.status, refused.json) == (421, {"error": "host: expected one of 127.0.0.1, [::1], localhost"})
    assert server.ask("/api/index", headers={"host": "LOCALHOST"}).status == 200


def test_vectors_are_served_too(tmp_path: Path) -> None:
    index = vectors_index(tmp_path / "index")
    with served(index, tmp_path) as server:
        assert server.ask("/api/index").json["vectors"] is True
        vector = np.random.default_rng(0).standard_normal((50, 6)).astype(np.float32)[4]
        answer = server.ask("/api/search?count=3", json.dumps({"vector": vector.tolist()}))
        assert answer.json["code"] == server.ask("/api/items/4").json["code"]
        assert answer.json["results"][0]["distance"] == 0
        no_thumbnail = server.ask("/api/items/4/thumbnail")
        assert (no_thumbnail.status, no_thumbnail.json) == (404, {"error": "item 4 has no thumbnail"})
        for wrong, said in [
            ({"vector": [1.0] * 5}, "shape (n, 6)"),
            ({"vector": [float("nan")] * 6}, "finite"),
            ({"vector": [1e300] * 6}, "finite"),
            ({"vector": [10**400] * 6}, "too large"),
            ({"vector": [True] * 6}, "found something else"),
            ({"vector": "123456"}, "found something else"),
            ([1.0] * 6, "found something else"),
        ]:
            refused = server.ask("/api/search", json.dumps(wrong))
            assert refused.status == 422 and said in refused.json["error"], refused.body
        assert "not JSON" in server.ask("/api/search", b"\xff\xfe").json["error"]
        assert "not JSON" in server.ask("/api/search", b"[" * 100_000).json["error"]


def test_what_is_added_later_is_not_served(server: Server, index: Path) -> None:
    items = Items(index / "items.sqlite", writable=True)
    items.add([Row("later", [], b"later", items.code(0)[0], None)])
    items.close()
    assert server.ask(f"/api/items/{COUNT}").status == 404
    assert server.ask("/api/items/0/search?count=1000").json["results"][-1]["id"] < COUNT


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_requests_end(index: Path, tmp_path: Path, how: signal.Signals) -> None:
    image = picture(digits()[0][0])
    with served(index, tmp_path) as server:
        connection = server.connect()
        connection.putrequest("POST", "/api/search?count=1")
        connection.putheader("content-length", str(len(image)))
        connection.endheaders(image[:20])
        idle = server.connect()  # a browser's connection that waits for nothing
        idle.request("GET", "/health")
        idle.getresponse().read()
        time.sleep(0.5)
        server.process.send_signal(how)
        time.sleep(0.5)
        assert server.process.poll() is None
        connection.send(image[20:])
        assert json.loads(connection.getresponse().read())["results"][0]["id"] == 0
        assert server.process.wait(60) == 0
        assert server.process.stdout is not None and server.process.stdout.read() == "ended\n"
        assert server.log.read_text() == ""


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pipeline", "serve", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=300
    )


def test_what_is_wrong_at_the_start_is_one_line(index: Path, server: Server, tmp_path: Path) -> None:
    taken = command(str(index), "--port", str(server.port))
    assert (taken.returncode, taken.stdout) == (1, "")
    assert taken.stderr == f"error: serve: port {server.port} is taken; `--port 0` takes a free one\n"
    none = command(str(tmp_path), "--port", "0")
    assert none.returncode == 1 and none.stderr.count("\n") == 1 and "no index" in none.stderr
    elsewhere = command(str(index), "--port", "0", "--host", "192.0.2.1")
    assert elsewhere.returncode == 1 and elsewhere.stderr.startswith("error: serve: can't listen on 192.0.2.1, port 0")
    unknown = command(str(index), "--port", "0", "--host", "no such host")
    assert unknown.returncode == 1 and unknown.stderr.count("\n") == 1


def test_other_machines_are_let_in_with_a_warning(index: Path, tmp_path: Path) -> None:
    with served(index, tmp_path, "--host", "0.0.0.0") as server:
        assert server.log.read_text().count("\n") == 1 and server.log.read_text().startswith("warning: anyone")
        server.host = "127.0.0.1"
        assert server.ask("/health", headers={"host": "my.machine.example"}).status == 200


def test_slow_clients_are_left(server: Server) -> None:
    """Heads that never end are given up; requests of others are answered meanwhile."""
    slow = [socket.create_connection((server.host, server.port)) for _ in range(20)]
    for place, one in enumerate(slow):
        one.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n"[: 10 * (place % 4)])
        one.settimeout(60)
    began = time.monotonic()
    assert server.ask("/health").status == 200
    assert all(one.recv(1) == b"" for one in slow), "closed without an answer"
    assert 5 < time.monotonic() - began < 30
    for one in slow:
        one.close()


def test_what_is_no_http_gets_an_answer(server: Server) -> None:
    with socket.create_connection((server.host, server.port)) as one:
        one.settimeout(60)
        one.sendall(b"\x16\x03\x01\x02\x00\r\n\r\n")
        got = b"".join(iter(lambda: one.recv(4096), b""))
    assert got.startswith(b"HTTP/1.1 400 ") and got.endswith(b'{"error":"expected a request of HTTP/1.1"}')


def test_a_fault_of_the_server_is_one_line_and_logged(index: Path, tmp_path: Path) -> None:
    """The items are damaged while the server runs."""
    shutil.copytree(index, tmp_path / "index")
    file = tmp_path / "index" / "items.sqlite"
    with served(tmp_path / "index", tmp_path) as server:
        file.write_bytes(b"\0" * file.stat().st_size)
        failed = server.ask("/api/items/3/search")
        assert (failed.status, failed.json) == (500, {"error": "the server failed to answer this; its log says why"})
        end = time.monotonic() + 60
        while "sqlite3.DatabaseError" not in server.log.read_text():  # it is logged after the answer
            assert time.monotonic() < end
            time.sleep(0.05)
        assert "content-security-policy" in failed.headers
        assert server.ask("/health").status == 200


def test_concurrent_requests_get_their_own_answers(server: Server) -> None:
    images = [picture(one) for one in digits()[0][:40]]
    found = dict[int, str]()

    def ask(place: int) -> None:
        found[place] = server.ask("/api/search?count=1", images[place]).json["code"]

    threads = [threading.Thread(target=ask, args=(place,)) for place in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[place] for place in range(40)] == [
        server.ask(f"/api/items/{place}").json["code"] for place in range(40)
    ]
