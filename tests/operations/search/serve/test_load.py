"""Eight users at once, for a bounded time; `pytest -s` prints the latencies."""

import json
import threading
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.operations.search.serve.serving import CNN, Server, digits, digits_index, picture, served

USERS = 8


def load(server: Server, requests: int, image: Any) -> list[float]:
    """Seconds of each search; each user searches ``requests`` times, one search after the other."""
    seconds, wrong = list[float](), list[Any]()

    def use(user: int) -> None:
        connection = server.connect()
        for place in range(requests):
            body, began = image(user * requests + place), time.monotonic()
            connection.request("POST", "/api/search?count=20", body)
            answer = connection.getresponse()
            content = json.loads(answer.read())
            seconds.append(time.monotonic() - began)
            if answer.status != 200 or len(content["results"]) != 20:
                wrong.append(content)
        connection.close()

    users = [threading.Thread(target=use, args=(user,)) for user in range(USERS)]
    for user in users:
        user.start()
    for user in users:
        user.join()
    assert wrong == []
    return seconds


def told(name: str, seconds: list[float], capsys: pytest.CaptureFixture[str]) -> float:
    half, most = np.percentile(seconds, [50, 95])
    with capsys.disabled():
        print(f"\n{name}: {USERS} users, {len(seconds)} searches, median {1e3 * half:.0f} ms, 95th {1e3 * most:.0f} ms")
    return float(most)


def test_eight_users_of_digits(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    images = [picture(one) for one in digits()[0]]
    load(server, 5, lambda place: images[place])
    before = server.memory()
    seconds = load(server, 50, lambda place: images[place % len(images)])
    assert told("digits, cnn", seconds, capsys) < 2
    assert server.memory() - before < 50


def test_eight_users_of_a_large_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if find_spec("efficientnet_lite_pytorch") is None:
        pytest.skip("no efficientnet_lite_pytorch; install requirements-offline.txt to run this test")
    backbone = {**CNN, "name": "efficientnet_lite0", "input_size": 128, "frozen": True}
    index = digits_index(tmp_path / "index", backbone, image_size=128)
    photo = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8).repeat(16, 0).repeat(16, 1)
    image = picture(photo, "JPEG")
    with served(index, tmp_path) as server:
        load(server, 1, lambda place: image)
        assert (
            told("efficientnet_lite0, 128 pixels, photos of 960 x 640", load(server, 5, lambda place: image), capsys)
            < 30
        )
