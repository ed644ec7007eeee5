"""A sweep leaves what `dvc repro` leaves, whatever comes between."""

import contextlib
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest
import yaml

from tests.operations.sweep.conftest import Swept

WR = "quantizers.wr.weight"


# One worker makes what `dvc repro` leaves.
after_dvc_repro = pytest.mark.xdist_group("reproduced")


@after_dvc_repro
def test_it_leaves_what_dvc_repro_leaves(swept: Swept, reproduced: Swept) -> None:
    """Fails where another DVC keeps its books otherwise: outputs, locks, cache and run cache are compared."""
    twin = reproduced
    assert "41 stages run" in swept.sweep().stdout
    assert swept.left() == twin.left()
    assert "up to date" in swept.run("dvc", "status").stdout
    assert swept.ran() == []
    assert swept.sweep().stdout == "0 stages run; 41 up to date\n"

    for project in (swept, twin):
        project.edit(WR, 0.7)
    said = swept.sweep("--dry-run").stdout
    assert f"tune@csq-wr-16: {WR}: 0.1 -> 0.7\n" in said
    assert "encode@csq-wr-16-0: after cells/train/dvc.yaml:train@csq-wr-16-0" in said
    assert swept.sweep().stdout == "16 stages run; 25 up to date\n"
    twin.run("dvc", "repro")
    assert swept.left() == twin.left()

    swept.edit(WR, 0.1)
    said = swept.sweep("--dry-run").stdout
    assert f"tune@csq-wr-16: {WR}: 0.7 -> 0.1 (the run cache has it)\n" in said
    assert swept.sweep().stdout == "0 stages run; 16 restored from the run cache; 25 up to date\n"
    assert swept.ran() == []


@after_dvc_repro
def test_a_smaller_grid(reproduced: Swept) -> None:
    """`aggregate` removes the cells that left the grid from the folder that it depends on.

    And what somebody wrote into a lock file stays there.
    """
    swept = reproduced
    edited = swept.folder / "cells/tune/dvc.lock"
    edited.write_text(edited.read_text().replace("stages:\n", "stages:  # of csq\n"))
    swept.edit("grid.seeds", [0])
    swept.order(
        "aggregate", "tables", "import shutil\nfor one in layout.all_metrics.glob('*-1'):\n    shutil.rmtree(one)"
    )
    swept.sweep()
    assert len(list((swept.results / "metrics").iterdir())) == 4
    assert "stages:  # of csq\n" in edited.read_text()
    assert "up to date" in swept.run("dvc", "status").stdout
    assert swept.ran() == []


def test_stages_that_are_any_command(quick: "Swept", tmp_path: Path) -> None:
    """The stand-ins of other tests are scripts: the worker runs them as DVC would."""
    project = Swept(quick.folder)
    done = project.sweep()
    assert re.fullmatch(r"\d+ stages run\n", done.stdout), done.stdout
    assert "up to date" in project.run("dvc", "status").stdout


def test_a_cell_that_fails_stops_no_other(swept: Swept) -> None:
    """By an error that is the user's, by any other, and by its worker's death; a worker that dies once is replaced."""
    swept.order("train", "csq-wr-16-0", 'print("before it", file=sys.stderr)\nraise UserError("no luck")')
    swept.order("encode", "dsdh-wr-16-1", "1 / 0")
    once = "import os\nmark = Path({!r})\nif not mark.exists():\n    mark.touch()\n    os.kill(os.getpid(), 9)\n"
    swept.order("train", "csq-original-16-1", once.format(str(swept.folder.parent / "mark")))
    swept.order("train", "dsdh-original-16-0", "import os\nos.kill(os.getpid(), 9)")
    done = swept.sweep(check=False)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[-1] == "31 stages run; 3 failed; 7 not run because of them"
    at = lines.index(next(line for line in lines if "train@csq-wr-16-0 failed" in line))
    assert lines[at + 1 : at + 3] == ["    before it", "    error: no luck"]
    log = Path(lines[at].split("log: ")[1])
    assert log.read_text() == "before it\nerror: no luck\n"
    assert any("ZeroDivisionError: division by zero" in line for line in lines)
    assert "train@dsdh-original-16-0 failed\n    its worker died 4 times" in done.stdout
    assert (swept.folder.parent / "mark").exists() and (swept.results / "metrics" / "csq-original-16-1").exists()
    assert (swept.results / "failed" / "csq-wr-16-0.txt").read_text() == "train: no luck\n"
    assert done.stderr.splitlines()[-1].startswith("5/8 cells, 41/41 stages, 0 running, 3 cells failed; ")

    for order in swept.orders.iterdir():
        order.unlink()
    assert swept.sweep().stdout == "10 stages run; 31 up to date\n"
    assert swept.ran() == []


def _until(condition: object, seconds: float = 60) -> None:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _begun(swept: Swept) -> "subprocess.Popen[str]":
    """A sweep that is in the middle: csq's cells are done, one of dsdh's doesn't end."""
    swept.order("train", "dsdh-original-16-0", "import time\nPath('started').touch()\ntime.sleep(600)")
    process = subprocess.Popen(
        ["python", "-m", "pipeline", "sweep", "--workers=2"],
        cwd=swept.folder, env=swept.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    cells = [f"csq-{quantizer}-16-{seed}" for quantizer in ("original", "wr") for seed in (0, 1)]
    folder = swept.results / "metrics"
    _until(lambda: (swept.folder / "started").exists() and all((folder / cell).exists() for cell in cells))
    time.sleep(1)  # the driver takes in what is done
    return process


def _workers(swept: Swept) -> list[psutil.Process]:
    """Processes that run the project's stages; Ray's own agents end a minute later."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            words = process.cmdline()
            if (
                words
                and words[0].startswith("ray::")
                and "Agent" not in words[0]
                and Path(process.cwd()) == swept.folder
            ):
                found.append(process)
    return found


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_sweep_is_gone_on_with(how: signal.Signals, swept: Swept) -> None:
    """And before it is interrupted, no other one begins."""
    process = _begun(swept)
    meanwhile = swept.sweep(check=False)
    assert (meanwhile.returncode, meanwhile.stdout) == (1, "")
    assert meanwhile.stderr == "error: another DVC command or sweep is running in this workspace; wait for it\n"
    process.send_signal(how)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.splitlines()[-1].startswith("interrupted; finished stages are kept")
    _until(lambda: not _workers(swept))
    (swept.orders / "train-dsdh-original-16-0.py").unlink()
    ran = swept.ran()
    assert "train@dsdh-original-16-0" in ran
    assert not [stage for stage in ran if "csq" in stage], "what was done stands in the lock files"


def test_a_killed_sweep_is_gone_on_with(swept: Swept) -> None:
    process = _begun(swept)
    process.kill()
    process.communicate()
    _until(lambda: not _workers(swept))
    assert not list(swept.folder.rglob("dvc.lock"))
    (swept.orders / "train-dsdh-original-16-0.py").unlink()
    done = swept.sweep()
    counts = re.fullmatch(r"(\d+) stages run; (\d+) restored from the run cache\n", done.stdout)
    assert counts, done.stdout
    assert int(counts[2]) >= 16, "csq's cells"
    assert swept.ran() == []


def test_code_that_is_edited_meanwhile_is_refused(swept: Swept) -> None:
    edit = "file = Path('pipeline/methods/csq.py')\nfile.write_text(file.read_text() + '# changed')"
    swept.order("train", "csq-wr-16-0", edit)
    swept.order("train", "csq-wr-16-1", edit)
    done = swept.sweep(check=False)
    assert done.returncode == 1
    assert "train@csq-wr-16-0: pipeline/methods/csq.py was edited while the sweep ran; sweep again" in done.stdout
    assert "dsdh" not in done.stdout
    for order in swept.orders.iterdir():
        order.unlink()
    swept.sweep()
    assert swept.ran() == []


def test_params_that_are_edited_meanwhile_count_for_the_next(swept: Swept) -> None:
    swept.order(
        "prepare",
        "prepared",
        "file = Path('params.yaml')\nfile.write_text(file.read_text().replace('weight: 0.1', 'weight: 0.9'))",
    )
    assert "41 stages run" in swept.sweep().stdout
    lock = yaml.safe_load((swept.folder / "cells/train/dvc.lock").read_text())
    assert lock["stages"]["train@csq-wr-16-0"]["params"]["params.yaml"]["quantizers.wr"]["weight"] == 0.1
    assert "'weight': 0.1" in (swept.results / "train/csq-wr-16-0/out.txt").read_text()
    assert "modified" in swept.run("dvc", "status").stdout


@pytest.mark.parametrize(
    ("arguments", "env", "said"),
    [
        (("nothing",), {}, "Stage 'nothing' not found inside 'dvc.yaml' file"),
        ((), {"RAY_ADDRESS": "127.0.0.1:9"}, "workers are for this machine"),
        (("--gpu-share=2",), {}, "2.0 is not in the range 0<x<=1"),
    ],
)
def test_what_is_wrong_is_one_line(arguments: tuple[str, ...], env: dict[str, str], said: str, swept: Swept) -> None:
    done = swept.sweep(*arguments, check=False, **env)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and said in done.stderr and done.stderr.count("\n") == 1, done.stderr


def test_params_are_checked_first(swept: Swept) -> None:
    swept.edit("sweep.gpu_share", 1.5)
    done = swept.sweep(check=False)
    assert done.returncode == 1
    assert "sweep.gpu_share" in done.stderr and not os.path.exists(swept.results)
