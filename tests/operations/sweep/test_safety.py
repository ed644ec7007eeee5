"""Who else can reach a sweep, and what is shown of secrets."""

import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from pipeline.operations.sweep.cluster import passed_on
from pipeline.runtime import machine
from pipeline.runtime.errors import hidden
from tests.operations.sweep.conftest import Swept

CLIENT = """
import os, sys
import ray
ray.init(address=sys.argv[1], logging_level="CRITICAL")
print("in")
"""


def listening(of: psutil.Process) -> dict[str, set[str]]:
    """Addresses that a process and what it started listen on, by the name of the process."""
    found: dict[str, set[str]] = {}
    for process in [of, *of.children(recursive=True)]:
        try:
            for connection in process.net_connections("tcp"):
                if connection.status == psutil.CONN_LISTEN:
                    found.setdefault(process.name(), set()).add(f"{connection.laddr.ip} {connection.laddr.port}")
        except psutil.Error:
            continue
    return found


@pytest.fixture
def running(swept: Swept, tmp_path: Path) -> "tuple[Swept, subprocess.Popen[str], Path]":
    """A sweep whose first stage waits, of a user whose home can't be written to."""
    home = tmp_path / "home"
    home.mkdir()
    (home / ".ray").touch()  # no folder can be made there
    swept.order(
        "prepare", "prepared", "import time\nPath('begun').touch()\nwhile not Path('go-on').exists(): time.sleep(0.1)"
    )
    env = {key: value for key, value in swept.env.items() if not key.startswith("RAY_")} | {"HOME": str(home)}
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", "sweep", "--workers=2"], cwd=swept.folder, env=env,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not (swept.folder / "begun").exists():
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.1)
    return swept, process, home


def _refused(client: list[str], env: dict[str, str]) -> bool:
    """Whether a client of the cluster isn't let in."""
    try:
        done = subprocess.run(client, env=env, capture_output=True, text=True, timeout=30)
    except subprocess.TimeoutExpired as waiting:
        return not waiting.stdout
    return done.returncode != 0 and "in" not in done.stdout.split()


def test_a_local_sweep_listens_on_loopback_alone_and_to_nobody_else(
    running: "tuple[Swept, subprocess.Popen[str], Path]",
) -> None:
    swept, process, home = running
    try:
        found = listening(psutil.Process(process.pid))
        places = {place.split()[0] for of in found.values() for place in of}
        assert places <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}, found
        assert found, "Ray listens somewhere"
        (server,) = [place for name, of in found.items() if name.startswith("gcs_server") for place in of]
        env = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
        client = [sys.executable, "-c", CLIENT, f"127.0.0.1:{server.split()[1]}"]
        modes = ({}, {"RAY_AUTH_MODE": "disabled"}, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": 64 * "0"})
        given = [{**env, **mode, "HOME": str(home)} for mode in modes]
        with ThreadPoolExecutor(len(modes)) as threads:  # Ray asks again and again, so each takes all of its time
            refused = list(threads.map(lambda env: _refused(client, env), given))
        assert refused == [True] * len(modes), modes
        assert [path.name for path in home.iterdir()] == [".ray"], "no token is left in a file"
        for file in swept.folder.glob(".dvc/tmp/sweep/**/*"):
            assert not re.search(r"\b[0-9a-f]{64}\b", file.read_text() if file.is_file() else "")
    finally:
        (swept.folder / "go-on").touch()
        said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said


def test_what_killed_sweeps_left_is_cleared(swept: Swept) -> None:
    left = swept.folder / ".dvc" / "tmp" / "sweep"
    (left / "a-folder").mkdir(parents=True)
    (left / "a-folder" / "x").touch()
    (left / "18c0ffee").touch()
    swept.sweep()
    assert {path.name for path in left.iterdir()} <= {"logs"}


def test_workers_elsewhere_get_no_secrets() -> None:
    given = {
        "MLFLOW_TRACKING_URI": "https://me:hush@host/x",
        "MLFLOW_TRACKING_USERNAME": "me",
        "MLFLOW_TRACKING_PASSWORD": "hush",
        "MLFLOW_TRACKING_TOKEN": "hush",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
        "AWS_SECRET_ACCESS_KEY": "hush",
        "RAY_EXPERIMENTAL_X": "1",
    }
    assert passed_on(given) == {
        "MLFLOW_TRACKING_URI": "https://host/x", "MLFLOW_HTTP_REQUEST_TIMEOUT": "5", "RAY_EXPERIMENTAL_X": "1",
    }  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "https://me:hush@host/x", "ssh://me:hush@host", "password=hush", "{'password': 'hush'}", 'token: "hush"',
        "secret_access_key=hush", "AWS_SECRET_ACCESS_KEY=hush", "sas_token=hush", "Access_Key_Id = hush",
    ],
)  # fmt: skip
def test_messages_have_no_passwords(text: str) -> None:
    assert "hush" not in hidden(f"before {text} behind") and "behind" in hidden(f"before {text} behind")


def test_a_remote_s_password_is_not_in_the_message(swept: Swept) -> None:
    swept.sweep()
    swept.run("dvc", "remote", "add", "-d", "-q", "there", "ssh://me:hush@127.0.0.1:9/x")
    swept.run("dvc", "remote", "modify", "-q", "there", "password", "hush-too")
    done = swept.run("python", "-m", "pipeline", "share", check=False)
    assert done.returncode == 1 and "hush" not in done.stderr + done.stdout
    assert len(done.stderr.splitlines()) == 1


def test_cores_where_the_system_does_not_tell_which_may_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    known = machine.cores()
    assert known == len(os.sched_getaffinity(0))
    monkeypatch.delattr(os, "sched_getaffinity")
    assert machine.cores() == os.cpu_count()
