"""What a sweep says, and how cells share a GPU."""

import io

import pytest

from pipeline.operations.sweep.call import Call
from pipeline.operations.sweep.cluster import Cluster
from pipeline.operations.sweep.exchange import Place
from pipeline.operations.sweep.progress import Progress, clock
from pipeline.operations.sweep.worker import gpu_index


def call(stage: str, method: str = "dsdh", seed: int = 0, **rest: object) -> Call:
    command = f"python -m stages.{stage} --method {method} --quantizer wr --bits 16 --seed {seed}"
    address = f"cells/{stage}/dvc.yaml:{stage}@{method}-wr-16-{seed}"
    return Call(address, (command,), ".", (f"results/x/{stage}",), on_device=stage == "train", **rest)  # type: ignore[arg-type]


def test_a_call_is_what_its_command_says() -> None:
    one = call("train")
    assert one.module == ("stages.train", ["--method", "dsdh", "--quantizer", "wr", "--bits", "16", "--seed", "0"])
    assert (one.kind, one.name, one.cell) == ("train", "train@dsdh-wr-16-0", ("dsdh", "wr", "16", "0"))
    other = Call("aggregate", ("python -m stages.aggregate",), ".", ())
    assert other.module == ("stages.aggregate", []) and other.cell is None
    assert Call("x", ("sh run.sh",), ".", ()).module is None
    assert Call("x", ("python -m stages.train", "true"), ".", ()).module is None
    assert Call("x", ("python -m stages.train",), "sub", ()).module is None


def test_progress_counts_cells_by_method() -> None:
    calls = [
        call(stage, method, seed) for method in ("csq", "dsdh") for seed in (0, 1) for stage in ("train", "evaluate")
    ]
    stream = io.StringIO()
    progress = Progress(calls, stream)
    progress.started(calls[0])
    assert progress.lines(2)[0] == "  csq   0/2 cells, 1 running"
    assert "? left" in progress.lines(2)[-1]
    for one in calls[:2]:
        progress.ended(one, "run", 4.0)
    progress.ended(calls[4], "failed")
    progress.ended(calls[5], "skipped")
    lines = progress.lines(2)
    assert lines[0] == "  csq   1/2 cells" and lines[1] == "  dsdh  0/2 cells, 1 failed"
    assert lines[2].startswith("1/4 cells, 4/8 stages, 0 running, 1 cells failed; ")
    assert lines[2].endswith(" cells/min, 0:08 left"), "four stages of four seconds, two at a time"
    progress.started(calls[6])
    assert "1 running (train)" in progress.lines(2)[-1]
    progress.show(2)
    progress.show(2)
    assert stream.getvalue().count("\n") == 1, "elsewhere than on a terminal a line now and then"


def test_time_left_is_a_lower_bound_while_a_kind_of_stage_has_not_been_timed() -> None:
    progress = Progress([call(stage, "csq", seed) for stage in ("tune", "train") for seed in (0, 1)], io.StringIO())
    progress.ended(progress.calls[0], "run", 60.0)
    assert progress.lines(2)[-1].endswith(", more than 0:30 left")
    progress.ended(progress.calls[2], "run", 10.0)
    assert progress.lines(2)[-1].endswith(", 0:35 left")
    for one in progress.calls:
        progress.ended(one, "current")
    assert progress.lines(2)[-1].endswith(", 0:00 left")


def test_a_terminal_gets_a_line_a_method() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    progress = Progress([call("train", "csq"), call("train", "dsdh")], stream)
    progress.show(2, now=True)
    progress.ended(call("train", "csq"), "run", 1.0)
    progress.show(2, now=True)
    progress.close()
    assert "  csq   1/1 cells" in stream.getvalue() and "  dsdh  0/1 cells" in stream.getvalue()


@pytest.mark.parametrize(("seconds", "said"), [(0, "0:00"), (65.4, "1:05"), (3661, "1:01:01")])
def test_the_clock(seconds: float, said: str) -> None:
    assert clock(seconds) == said


def test_cells_share_a_gpu() -> None:
    place = Place("root", "token", "logs")
    cluster = Cluster(place, {"compute": {"device": "auto", "threads": 1}})
    assert cluster._gpus(call("train"), False) == 0, "no GPU, no share"
    cluster._started, cluster._size = True, (1e12, {"CPU": 16.0, "GPU": 2.0})
    assert cluster._gpus(call("train"), False) == 1, "the first one has a GPU to itself, and is measured"
    cluster._measured["train"] = 0.24
    assert cluster._gpus(call("train"), False) == 0.25
    assert cluster._gpus(call("train"), True) == 1
    assert cluster._gpus(call("train", exclusive=True), False) == 1
    assert cluster._gpus(call("evaluate"), False) == 0
    cluster._measured["train"] = 0.001
    assert cluster._gpus(call("train"), False) == 1 / 16
    cluster.share = 0.5
    assert cluster._gpus(call("train"), False) == 0.5
    cluster.params = {"compute": {"device": "cpu", "threads": 1}}
    assert cluster._gpus(call("train"), False) == 0


@pytest.mark.parametrize(
    ("ids", "visible", "index"), [([], None, 0), (["3"], None, 3), (["3"], "2,3", 1), (["GPU-b"], "GPU-a,GPU-b", 1)]
)
def test_a_stage_computes_on_the_gpu_that_was_set_aside(ids: list[str], visible: str | None, index: int) -> None:
    assert gpu_index(ids, visible) == index
