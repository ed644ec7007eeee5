"""docs/sweep.sbatch on a real SLURM: two nodes on this machine, private to the test."""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.operations.sweep.conftest import Swept
from tests.operations.sweep.test_sweep import _until

NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "scancel", "squeue", "sinfo")
SEARCHED = f"{os.environ['PATH']}{os.pathsep}/usr/sbin"
MISSING = [name for name in NEEDED if shutil.which(name, path=SEARCHED) is None]

pytestmark = [
    pytest.mark.xdist_group("slurm"),
    pytest.mark.skipif(bool(MISSING), reason=f"SLURM is needed: {', '.join(MISSING)} not found"),
    pytest.mark.skipif(os.geteuid() != 0, reason="SLURM's daemons are started as root"),
]

#: Where a cell runs and on which GPU; then it waits for the other cell that says so.
TOGETHER = """
import os, ray, time
node, visible = os.environ["SLURMD_NODENAME"], os.environ["CUDA_VISIBLE_DEVICES"]
Path(f"on-{node}").write_text(f"{visible} {ray.get_gpu_ids()}")
deadline = time.monotonic() + 60
while len(list(Path().glob("on-*"))) < 2 and time.monotonic() < deadline:
    time.sleep(0.1)
"""
#: Without control groups, so that it runs in a container. The nodes' GPUs are files that are on every machine. Jobs
#: aren't counted from 1, since folders in /tmp have their numbers.
CONFIGURATION = """\
ClusterName=test
FirstJobId={ports[0]}
SlurmctldHost=localhost
SlurmctldPort={ports[0]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
MailProg=/bin/true
ProctrackType=proctrack/linuxproc
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
GresTypes=gpu
NodeName=one NodeHostname=localhost NodeAddr=127.0.0.1 Port={ports[1]} CPUs=1 RealMemory=1000 Gres=gpu:2
NodeName=two NodeHostname=localhost NodeAddr=127.0.0.1 Port={ports[2]} CPUs=1 RealMemory=1000 Gres=gpu:2
PartitionName=all Nodes=ALL Default=YES State=UP
"""


class Slurm:
    """A SLURM of two nodes with a CPU and two GPUs each; all that it leaves is in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {key: value for key, value in os.environ.items() if not key.startswith(("SLURM_", "SBATCH_"))}
        self.env |= {"PATH": SEARCHED, "SLURM_CONF": str(folder / "slurm.conf")}
        self._daemons: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        folder = self.folder
        folder.chmod(0o755)  # munged wants all users to reach its socket
        (folder / "state").mkdir()
        key = folder / "munge.key"
        key.touch(0o600)
        key.write_bytes(os.urandom(128))
        (folder / "slurm.conf").write_text(CONFIGURATION.format(folder=folder, ports=_free_ports(3)))
        # Else slurmd looks for a mounted /sys/fs/cgroup, though nothing here makes use of it.
        (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
        (folder / "gres.conf").write_text("NodeName=one,two Name=gpu File=/dev/null,/dev/zero\n")
        self._daemon(
            "munged", "--foreground", f"--socket={folder}/munge.socket", f"--key-file={key}",
            f"--pid-file={folder}/munge.pid", f"--log-file={folder}/munge.log", f"--seed-file={folder}/munge.seed",
        )  # fmt: skip
        _until((folder / "munge.socket").exists)
        self._daemon("slurmctld", "-D")
        for node in ("one", "two"):
            self._daemon("slurmd", "-D", "-N", node)
        _until(lambda: self.run("sinfo", "--noheader", "--format=%T %D", check=False) == "idle 2\n")

    def stop(self) -> None:
        try:
            self.run("scancel", "--user=root", check=False)
            _until(lambda: not self.run("squeue", "--noheader", check=False), 90)
        finally:
            for daemon in reversed(self._daemons):
                daemon.terminate()
                daemon.wait(30)

    def run(self, *command: str, check: bool = True) -> str:
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0 or not check, done.stderr
        return done.stdout

    def state(self, job: str) -> tuple[str, str]:
        """``("COMPLETED", "0:0")``: its state, and its exit code and signal."""
        said = self.run("scontrol", "show", "job", job)
        return re.findall(r"JobState=(\S+)", said)[0], re.findall(r" ExitCode=(\S+)", said)[0]

    def ended(self, job: str) -> tuple[str, str]:
        """How it ended, once it has."""
        _until(lambda: self.state(job)[0] not in ("PENDING", "CONFIGURING", "RUNNING", "COMPLETING"), 240)
        return self.state(job)

    def _daemon(self, *command: str) -> None:
        with (self.folder / f"{len(self._daemons)}-{command[0]}.log").open("wb") as log:
            self._daemons.append(subprocess.Popen(command, env=self.env, stdout=log, stderr=log, cwd=self.folder))


def _free_ports(number: int) -> list[int]:
    sockets = [socket.socket() for _ in range(number)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.fixture(scope="module")
def slurm() -> Iterator[Slurm]:
    with tempfile.TemporaryDirectory(prefix="slurm-") as folder:  # short, since sockets are in it
        made = Slurm(Path(folder))
        try:
            made.start()
            yield made
        finally:
            made.stop()


@pytest.fixture
def submitted(swept: Swept) -> Swept:
    """A project as it is submitted: with the recipe, and with .venv. Four cells."""
    (swept.folder / "docs").mkdir()
    shutil.copy(ROOT / "docs" / "sweep.sbatch", swept.folder / "docs")
    (swept.folder / ".venv").symlink_to(sys.prefix)
    swept.edit("grid.seeds", [0])
    return swept


def submit(slurm: Slurm, swept: Swept, *options: str) -> str:
    """Submit the recipe with other resources than it asks for; the job's number."""
    command = ["sbatch", "--parsable", "--cpus-per-task=1", *options, "docs/sweep.sbatch"]
    env = {**swept.env, **slurm.env, "PATH": f"{swept.env['PATH']}{os.pathsep}{slurm.env['PATH']}"}
    return subprocess.run(command, cwd=swept.folder, env=env, check=True, capture_output=True, text=True).stdout.strip()


def output(swept: Swept, job: str) -> str:
    return (swept.folder / f"slurm-{job}.out").read_text()


def test_a_sweep_on_two_nodes(slurm: Slurm, submitted: Swept) -> None:
    """Two cells train at the same time, each on a node of its own, on the GPU that SLURM gave."""
    for cell in ("csq-wr-16-0", "csq-original-16-0"):
        submitted.order("train", cell, TOGETHER)
    job = submit(slurm, submitted, "--nodes=2", "--gpus-per-node=1")
    assert slurm.ended(job) == ("COMPLETED", "0:0"), output(submitted, job)
    said = output(submitted, job)
    assert said.endswith("stages run\n") and "error" not in said
    found = {file.name: file.read_text() for file in submitted.folder.glob("on-*")}
    assert found == {"on-one": "0 ['0']", "on-two": "0 ['0']"}
    assert submitted.ran() == []
    assert not list(Path("/tmp").glob(f"ray-{job}-*")), "Ray's folders are removed"


def test_an_allocation_that_ends_midway(slurm: Slurm, submitted: Swept) -> None:
    """What was done when SLURM's signal came stands in the lock files; the next job does the rest."""
    submitted.order("train", "dsdh-original-16-0", "import time\nPath('started').touch()\ntime.sleep(600)")
    job = submit(slurm, submitted, "--nodes=2", "--gpus-per-node=0")
    csq = [submitted.results / "metrics" / cell for cell in ("csq-wr-16-0", "csq-original-16-0")]
    _until(lambda: (submitted.folder / "started").exists() and all(folder.exists() for folder in csq), 120)
    time.sleep(1)  # the driver takes in what is done
    slurm.run("scancel", "--batch", "--signal=TERM", job)  # what --signal=B:TERM sends before the time is up
    assert slurm.ended(job) == ("FAILED", "130:0")
    assert output(submitted, job).splitlines()[-1].startswith("interrupted; finished stages are kept")
    assert "evaluate@csq-wr-16-0" in (submitted.folder / "cells/evaluate/dvc.lock").read_text()

    (submitted.orders / "train-dsdh-original-16-0.py").unlink()
    job = submit(slurm, submitted, "--nodes=1", "--gpus-per-node=0")
    assert slurm.ended(job) == ("COMPLETED", "0:0"), output(submitted, job)
    run, kept = map(int, re.findall(r"(\d+) stages run; (\d+) up to date\n$", output(submitted, job))[0])
    assert run < kept
    assert submitted.ran() == []
