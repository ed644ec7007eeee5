"""Sharing results, played out: two clones, a remote that is a folder or a real sshd, and what can go wrong."""

import contextlib
import functools
import getpass
import http.server
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from pipeline.operations import sharing
from pipeline.runtime.errors import UserError
from tests.conftest import ROOT, STAND_IN, Project, copy_project, grid

# One worker makes the first clone's results; the others take other tests.
pytestmark = pytest.mark.xdist_group("sharing")

CHANGED = "quantizers.wr.weight"
EARLIER, LATER = 0.5, 0.1


def ran(project: Project, *targets: str) -> list[str]:
    """`dvc repro`; the stages that ran, without those that were up to date or restored."""
    return re.findall(r"Running stage '(?:.*:)?(.*)'", project.run("dvc", "repro", *targets).stdout)


def files(project: Project) -> dict[str, bytes]:
    """All that the study has made, by path."""
    found = project.results.rglob("*")
    return {str(file.relative_to(project.folder)): file.read_bytes() for file in found if file.is_file()}


def commit(project: Project, message: str) -> None:
    project.run("git", "add", "-A")
    project.run("git", "commit", "-q", "-m", message)


ACTIONS = ("share", "fetch", "check")


def act(project: Project, action: str) -> str:
    """What a command of sharing does, in this process: DVC's start-up takes longer than the rest."""
    with contextlib.chdir(project.folder):
        return getattr(sharing, action)(project.params)


def refused(project: Project, action: str, *parts: str) -> list[str]:
    """The action says why it can't, a line each; the last one says all of this."""
    with pytest.raises(UserError) as error:
        act(project, action)
    lines = str(error.value).splitlines()
    for part in parts:
        assert part in lines[-1], lines[-1]
    return lines


def can_make(project: Project) -> None:
    """`make` finds an environment that is set up: the one that runs the tests."""
    (project.folder / ".venv").mkdir()
    for name in ("bin", "lib", "pyvenv.cfg"):
        if (Path(sys.prefix) / name).exists():
            (project.folder / ".venv" / name).symlink_to(Path(sys.prefix) / name)
    (project.folder / ".venv" / ".repro").touch()


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Two cells of stand-in stages, run and committed; for one of them there is an earlier weight's result, too."""
    project = copy_project(tmp_path_factory.mktemp("origin") / "first")
    for name in ("Makefile", "requirements.txt"):
        shutil.copy(ROOT / name, project.folder / name)
    os.utime(project.folder / "requirements.txt", (0, 0))
    (project.folder / "standin.py").write_text(STAND_IN)
    for file in project.folder.rglob("dvc.yaml"):
        file.write_text(file.read_text().replace("python -m stages.", "python standin.py "))
    content = project.params
    content["study"] = "shared"
    content["visualize"]["seeds"] = []
    content["grid"] = grid(quantizers=["wr"], seeds=[0, 1])
    (project.folder / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    project.edit(CHANGED, EARLIER)
    ran(project, "cells/evaluate/dvc.yaml:evaluate@csq-wr-16-0")
    project.edit(CHANGED, LATER)
    ran(project)
    commit(project, "results")
    return project


@pytest.fixture
def first(origin: Project, tmp_path: Path) -> Project:
    """Where the results were made."""
    shutil.copytree(origin.folder, tmp_path / "first", symlinks=True)
    project = Project(tmp_path / "first")
    project.env["HOME"] = str(tmp_path)
    can_make(project)
    return project


def colleague(first: Project, name: str = "second") -> Project:
    """Another clone; it has git's part of the results, which is the lock files."""
    project = Project(first.folder.parent / name)
    first.run("git", "clone", "-q", str(first.folder), str(project.folder))
    os.utime(project.folder / "requirements.txt", (0, 0))
    project.env["HOME"] = first.env["HOME"]
    for key, value in (("email", "test@example.org"), ("name", "Test")):
        project.run("git", "config", f"user.{key}", value)
    can_make(project)
    return project


@dataclass
class Server:
    """An sshd on this machine that takes one key, and no password."""

    port: int
    key: Path

    def connect(self, project: Project, folder: Path) -> None:
        address = f"ssh://{getpass.getuser()}@127.0.0.1:{self.port}{folder}"
        project.run("dvc", "remote", "add", "-q", "--local", "-d", "lab", address)
        project.run("dvc", "remote", "modify", "--local", "lab", "keyfile", str(self.key))


def key(file: Path) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", file], check=True, capture_output=True)
    return file


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    program = shutil.which("sshd", path=f"{os.environ['PATH']}{os.pathsep}/usr/sbin")
    if program is None:
        pytest.skip("no sshd on this machine; install Debian's openssh-server to run this test")
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # the service would make it; sshd wants it of root
    folder = tmp_path_factory.mktemp("sshd")
    user, host = key(folder / "user"), key(folder / "host")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {host}\nAuthorizedKeysFile {user}.pub\nStrictModes no\n"
        "PasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\nPidFile none\n"
        "Subsystem sftp internal-sftp\n"
    )
    command = [program, "-D", "-e", "-f", str(folder / "sshd_config")]
    with (folder / "log").open("w") as log, subprocess.Popen(command, stderr=log) as process:
        try:
            deadline = time.monotonic() + 30
            while socket.socket().connect_ex(("127.0.0.1", port)):
                assert process.poll() is None and time.monotonic() < deadline, (folder / "log").read_text()
                time.sleep(0.05)
            yield Server(port, user)
        finally:
            process.terminate()


Connect = Callable[[Project], None]


def in_folder(project: Project) -> None:
    folder = project.folder.parent / "lab"
    project.run("dvc", "remote", "add", "-q", "--local", "-d", "lab", str(folder))


@pytest.fixture(params=["folder", "ssh"])
def connect(request: pytest.FixtureRequest, tmp_path: Path) -> Connect:
    """Tell a clone of the remote, a folder or one behind SSH."""
    if request.param == "folder":
        return in_folder
    server = request.getfixturevalue("sshd")
    return lambda project: server.connect(project, tmp_path / "lab")


def test_two_clones_share_in_both_directions(first: Project, connect: Connect) -> None:
    connect(first)
    assert "has all 23 results of 'shared'" in first.run("make", "share").stdout
    second = colleague(first)
    connect(second)
    assert "has all 23 results of 'shared'" in second.run("make", "fetch-results").stdout
    assert files(second) == files(first)
    assert "up to date" in second.run("dvc", "status").stdout
    assert ran(second) == []

    second.edit(CHANGED, EARLIER)
    assert sorted(ran(second)) == [
        "aggregate", "encode@csq-wr-16-1", "evaluate@csq-wr-16-1", "report", "train@csq-wr-16-1",
    ], "the other cell comes from the first one's run cache"  # fmt: skip
    said = second.run("make", "share").stdout
    assert "not committed: cells/encode/dvc.lock, " in said and "params.yaml; a colleague gets these by git" in said
    commit(second, "another weight")

    first.run("git", "pull", "-q", str(second.folder), "HEAD")
    first.run("make", "fetch-results")
    assert ran(first) == []
    assert files(first) == files(second)
    first.edit(CHANGED, LATER)
    assert ran(first) == [], "what the first one ran is there as it was"


def test_plain_dvc_commands_share_too(first: Project) -> None:
    in_folder(first)
    first.run("dvc", "push", "--run-cache")
    second = colleague(first)
    in_folder(second)
    second.run("dvc", "pull", "--run-cache")
    assert files(second) == files(first)
    assert ran(second) == []
    act(first, "share")
    second.edit(CHANGED, EARLIER)
    started = second.run("dvc", "repro", "--pull", "cells/train/dvc.yaml:train@csq-wr-16-0").stdout
    assert "Running stage" not in started, "--pull takes what the run cache names from the remote"


def test_the_guides_commands(first: Project) -> None:
    """docs/sharing.md from one machine to another, line by line: the first two blocks here, the third over there."""
    lab, hub = first.folder.parent / "lab", first.folder.parent / "hub"
    first.run("git", "init", "-q", "--bare", str(hub))
    first.run("git", "remote", "add", "origin", str(hub))
    first.run("git", "push", "-q", "-u", "origin", "HEAD")
    guide = (ROOT / "docs" / "sharing.md").read_text().replace("/srv/lab/hashing", str(lab))
    once, giving, getting = re.findall(r"```bash\n(.*?)```", guide, re.DOTALL)
    second = colleague(first)
    second.run("git", "remote", "set-url", "origin", str(hub))
    first.edit(CHANGED, EARLIER)
    report = "\techo report\n"  # the stand-in stages leave no table that `make repro` could print
    makefile = (first.folder / "Makefile").read_text()
    (first.folder / "Makefile").write_text(makefile.replace("\t@python -m pipeline results\n", report))
    said = [first.run("bash", "-ec", block).stdout for block in (once, giving)]
    assert "has all 23 results" in said[1] and "not committed" not in said[1]
    said = second.run("bash", "-ec", getting).stdout.splitlines()
    assert any("has all 23 results" in line for line in said)
    assert said.count("Data and pipelines are up to date.") == 2, "by `dvc status` and by `dvc repro`"
    assert files(second) == files(first)


def test_a_web_server_is_good_for_reading(first: Project) -> None:
    in_folder(first)
    act(first, "share")
    serve = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(first.folder.parent / "lab"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        second = colleague(first)
        second.run("dvc", "remote", "add", "-q", "--local", "-d", "web", f"http://127.0.0.1:{server.server_port}")
        said = act(second, "fetch")
        server.shutdown()
    assert "has all 23 results" in said and "without the run cache" in said
    assert files(second) == files(first)


def test_a_folder_for_a_group_stays_writable_for_it(first: Project) -> None:
    in_folder(first)
    first.run("dvc", "remote", "modify", "--local", "lab", "shared", "group")
    act(first, "share")
    folders = [folder for folder in (first.folder.parent / "lab").rglob("*") if folder.is_dir()]
    assert {oct(folder.stat().st_mode)[-4:] for folder in folders} == {"2775"}, "the run cache's, too"


def test_clones_with_one_cache_need_no_remote(first: Project) -> None:
    second = colleague(first)
    second.run("dvc", "cache", "dir", "--local", str(first.folder / ".dvc" / "cache"))
    second.run("dvc", "config", "--local", "cache.shared", "group")
    second.run("dvc", "checkout")
    assert files(second) == files(first)
    second.edit(CHANGED, EARLIER)
    assert ran(second, "cells/evaluate/dvc.yaml:evaluate@csq-wr-16-0") == [], "the run cache is in the cache"


def test_a_forgotten_push_is_named(first: Project) -> None:
    in_folder(first)
    assert len(refused(first, "check", "lacks results of 20 of 20 stages of 'shared'", "run `make share`")) == 24
    assert "has all 23 results" in act(first, "share")
    assert "has all 23 results" in act(first, "check")
    first.edit(CHANGED, 0.7)
    assert len(ran(first, "cells/evaluate/dvc.yaml:evaluate@csq-wr-16-1")) == 4
    lines = refused(first, "check", "lacks results of 3 of 20 stages")  # the choice of `tune` is as it was
    assert {line.split(": ")[0] for line in lines[:-1]} == {
        f"cells/{stage}/dvc.yaml:{stage}@csq-wr-16-1" for stage in ("train", "encode", "evaluate")
    }
    done = first.run("python", "-m", "pipeline", "check-shared", check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "".join(f"error: {line}\n" for line in lines)
    done = first.run("make", "check-shared", check=False)
    assert done.returncode and lines[-1] in done.stderr


def lose(project: Project, out: str, store: Path) -> None:
    """Remove the file of an output from a store, and leave the listing of its folder."""
    (file,) = (project.results / out).iterdir()
    digest = subprocess.run(["md5sum", file], capture_output=True, text=True, check=True).stdout[:32]
    (store / "files" / "md5" / digest[:2] / digest[2:]).unlink()


def test_a_remote_that_lost_a_file_is_noticed_and_mended(first: Project) -> None:
    in_folder(first)
    act(first, "share")
    lose(first, "train/csq-wr-16-0", first.folder.parent / "lab")
    named = "cells/train/dvc.yaml:train@csq-wr-16-0: 1 of 2 objects of results/shared/train/csq-wr-16-0"
    lines = refused(first, "check", "lacks results of 1 of 20 stages")
    assert lines[0] == f"{named} are not there"
    second = colleague(first)
    in_folder(second)
    lines = refused(second, "fetch", "lacks results of 1 of 20 stages", "run `make share` where they were made")
    assert lines[0] == f"{named} are not there; this machine lacks some, too"
    assert (second.results / "report" / "index.html").exists(), "what is there has come"
    assert not (second.results / "train" / "csq-wr-16-0").exists(), "and nothing in half"
    act(first, "share")
    act(second, "fetch")
    assert files(second) == files(first)


def test_what_is_neither_here_nor_there_is_not_taken_for_shared(first: Project) -> None:
    in_folder(first)
    lose(first, "codes/csq-wr-16-1", first.folder / ".dvc" / "cache")
    lines = refused(first, "share", "lacks results of 1 of 20 stages")
    assert "encode@csq-wr-16-1" in lines[0] and "this machine lacks some, too" in lines[0]


def test_stages_that_have_not_run_are_told_apart(first: Project) -> None:
    in_folder(first)
    first.edit("grid.seeds", [0, 1, 2])
    said = act(first, "share")
    assert "has all 23 results" in said and "4 have not been run yet" in said


def test_a_broken_entry_of_the_run_cache_harms_nothing(first: Project) -> None:
    in_folder(first)
    entry = next((first.folder / ".dvc" / "cache" / "runs").glob("*/*/*"))
    entry.chmod(0o644)
    entry.write_text("cmd: [half")
    assert "has all 23 results" in act(first, "share")
    second = colleague(first)
    in_folder(second)
    assert "has all 23 results" in act(second, "fetch")
    assert files(second) == files(first)


def test_without_a_remote_one_line_says_what_to_do(first: Project) -> None:
    for action in ACTIONS:
        (line,) = refused(first, action, "no remote is set up", "`dvc remote add --local -d NAME ADDRESS`")
        assert "docs/sharing.md" in line
    done = first.run("make", "share", check=False)
    assert done.stderr.splitlines()[0] == f"error: {line}"
    first.run("dvc", "remote", "add", "-q", "--local", "lab", "lab")
    for action in ACTIONS:
        (line,) = refused(first, action, "no default remote among lab", "`dvc remote default --local NAME`")


def test_a_remote_that_cannot_be_used_is_one_line(first: Project) -> None:
    in_folder(first)
    (first.folder.parent / "lab").write_text("a file where a folder should be")
    for action in ACTIONS:
        (line,) = refused(first, action, "remote 'lab' (", "Not a directory", "docs/sharing.md")


def test_a_server_that_refuses_is_one_line(first: Project, sshd: Server) -> None:
    sshd.connect(first, first.folder.parent / "lab")
    first.run("dvc", "remote", "modify", "--local", "lab", "keyfile", str(key(first.folder.parent / "stranger")))
    for action in ACTIONS:
        (line,) = refused(first, action, "remote 'lab' (ssh://127.0.0.1", "Permission denied", "docs/sharing.md")
    first.run("dvc", "remote", "modify", "--local", "lab", "url", "ssh://127.0.0.1:9/lab")
    for action in ACTIONS:
        (line,) = refused(first, action, "remote 'lab' (ssh://127.0.0.1:9/lab)", "Connect call failed")
