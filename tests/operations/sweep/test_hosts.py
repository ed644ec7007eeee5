"""Several hosts: two Ray nodes on this machine, with the project's folder in common and without."""

import contextlib
import subprocess
from collections.abc import Iterator

import psutil
import pytest

from tests.operations.sweep.conftest import Swept
from tests.operations.sweep.test_sweep import _until

# One worker starts the cluster.
pytestmark = pytest.mark.xdist_group("reproduced")

CELLS = [
    f"{method}-{quantizer}-16-{seed}"
    for method in ("csq", "dsdh")
    for quantizer in ("original", "wr")
    for seed in (0, 1)
]


@pytest.fixture(scope="module")
def cluster() -> "Iterator[object]":
    """A cluster of two nodes with a core each."""
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    made.add_node(num_cpus=1)
    yield made
    made.shutdown()


def run(swept: Swept, cluster: object, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        ["python", "-m", "pipeline", "sweep", *arguments],
        cwd=swept.folder, env={**swept.env, "RAY_ADDRESS": cluster.address},  # type: ignore[attr-defined]
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_hosts_without_a_common_folder(swept: Swept, by_dvc: Swept, cluster: object) -> None:
    """Inputs and outputs go through the DVC remote, without which nothing runs; what is left is the same."""
    process = run(swept, cluster, "--no-shared-folder")
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    assert f"doesn't see {swept.folder}: share that folder, or name a default DVC remote" in said
    lab = swept.folder.parent / "lab"
    swept.run("dvc", "remote", "add", "-q", "--local", "-d", "lab", str(lab))
    where = swept.folder.parent / "where.txt"
    note = f"""\
import os, ray
node = ray.get_runtime_context().get_node_id()
open({str(where)!r}, "a").write(f"{{node}} {{os.getcwd()}}\\n")
"""
    for cell in CELLS:
        swept.order("train", cell, note)
    process = run(swept, cluster, "--no-shared-folder")
    said, errors = process.communicate(timeout=300)
    assert process.returncode == 0, said + errors
    assert "41 stages run" in said
    nodes, folders = (set(column) for column in zip(*map(str.split, where.read_text().splitlines()), strict=True))
    assert len(nodes) == 2, "cells were trained on both nodes"
    assert str(swept.folder) not in folders
    assert swept.left() == by_dvc.left()
    assert swept.ran() == []


def test_a_host_that_dies_midway(swept: Swept, by_dvc: Swept, cluster: object) -> None:
    """Cells that run on the node that is killed are run on the other one. It comes last, as it takes a node away."""
    begin = "import os, time\nPath(f'started-{about.seed}').write_text(str(os.getpid()))\n"
    for seed in (0, 1):
        swept.order("train", f"csq-wr-16-{seed}", begin + "while not Path('go-on').exists():\n    time.sleep(0.1)")
    process = run(swept, cluster)
    _until(lambda: len(_running(swept)) == 2, 120)  # one on each node
    (other,) = cluster.worker_nodes  # type: ignore[attr-defined]
    cluster.remove_node(other, allow_graceful=False)  # type: ignore[attr-defined]
    _until(lambda: len(_running(swept)) == 1)
    (swept.folder / "go-on").touch()
    said, errors = process.communicate(timeout=240)
    assert process.returncode == 0, said + errors
    assert said.endswith("41 stages run\n"), "after what Ray says about the host"
    assert swept.left() == by_dvc.left()


def _running(swept: Swept) -> list[psutil.Process]:
    """Processes in which the stages that wait run."""
    found = []
    for file in swept.folder.glob("started-*"):
        with contextlib.suppress(psutil.NoSuchProcess, ValueError):  # no process any more; not written yet
            process = psutil.Process(int(file.read_text()))
            if process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found
