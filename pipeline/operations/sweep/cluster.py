"""Ray: started here, or the cluster of RAY_ADDRESS; it places stages, restarts workers and tries again."""

import math
import os
import secrets
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.operations.sweep import worker
from pipeline.operations.sweep.call import Call
from pipeline.operations.sweep.dvc.objects import Entry
from pipeline.operations.sweep.exchange import Place
from pipeline.operations.sweep.worker import Outcome
from pipeline.runtime.errors import UserError, hidden
from pipeline.runtime.machine import cores

#: How often Ray runs a stage anew whose worker or host died.
RETRIES = 3
#: Stages a core that Ray has been given, so that a worker that is done finds the next one waiting.
AHEAD = 2
#: The part of a GPU's memory that a measured share is rounded up by; the next cell may need a little more.
MARGIN = 1.2
#: At most so many cells share a GPU.
CROWD = 16
#: What a host that doesn't share the project's folder needs no copy of.
LEFT_OUT = [
    "/results", "/.venv", "/.git", "/.dvc/cache", "/.dvc/tmp", "/mlruns", "/mlflow.db", "/data", "/docs", "/tests",
]  # fmt: skip


#: Variables that workers on other hosts get. They stand in Ray's logs and pages, so none that says how to get in does.
PASSED = ("MLFLOW_TRACKING_URI", "MLFLOW_HTTP_", "MLFLOW_TRACKING_INSECURE_TLS", "RAY_EXPERIMENTAL_")


def passed_on(environment: Mapping[str, str]) -> dict[str, str]:
    """What workers on other hosts get of this process's environment: where MLflow is, but no name, password or token.

    Those have to be in the environment that `ray start` has on each host.
    """
    return {key: hidden(value) for key, value in environment.items() if key.startswith(PASSED)}


def _stay_here() -> None:
    """Have Ray listen on loopback alone, and only to this process and its children.

    Ray listens on all interfaces on Linux, unless it is told that it can't be one of several nodes. The token stays in
    these processes' environment; left to itself, Ray writes one that all users can read to ``~/.ray/auth_token``.
    """
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    if "RAY_AUTH_MODE" not in os.environ:
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}


class Died(Exception):
    """A stage's worker or host died, and so did those of the further attempts."""


@dataclass
class Cluster:
    """Runs calls on Ray: the cluster that RAY_ADDRESS names, else one of this machine's own.

    Ray is started by the first call; a sweep with nothing to do doesn't wait for it.

    Args:
        params: params.yaml as it was when the sweep began.
        workers: stages at a time on this machine; as many as there are cores unless given.
        share: of a GPU, a stage that computes on it; None measures what the first ones need.
    """

    place: Place
    params: dict[str, Any]
    workers: int | None = None
    share: float | None = None
    _started: bool = False
    _given: Any = None
    _run: Any = None
    _measured: dict[str, float] = field(default_factory=dict)
    _size: tuple[float, dict[str, float]] = (0.0, {})

    @property
    def resources(self) -> dict[str, float]:
        """CPUs and GPUs of all hosts that are up; asked for again every two seconds, since hosts come and go."""
        if not self._started:
            return {"CPU": self._cores()}
        import ray

        asked, found = self._size
        if time.monotonic() - asked > 2:
            found = ray.cluster_resources()  # type: ignore[no-untyped-call]
            self._size = (time.monotonic(), found)
        return found

    @property
    def threads(self) -> int:
        return int(self.params["compute"]["threads"])

    def room(self) -> int:
        """How many stages Ray should have at a time."""
        return max(1, AHEAD * int(self.resources.get("CPU", 1) // self.threads))

    def submit(self, call: Call, inputs: list[Entry], *, here: bool, whole_gpu: bool = False) -> Any:
        """Give a stage to Ray.

        Args:
            here: it has inputs that are no single output, so it runs where the project is.
            whole_gpu: nothing may share the GPU with it.

        Returns:
            a reference for ``wait``.
        """
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        options: dict[str, Any] = {"num_cpus": self._cpus(call), "max_retries": RETRIES, "name": call.name}
        if gpus := self._gpus(call, whole_gpu):
            options["num_gpus"] = gpus
        if here and self.place.remote:
            node = ray.get_runtime_context().get_node_id()
            options |= {"scheduling_strategy": NodeAffinitySchedulingStrategy(node, soft=False), "num_cpus": 0}
        return self._run.options(**options).remote(call, self._given, self.place, inputs)

    def _cpus(self, call: Call) -> float:
        import ray

        if call.exclusive:
            nodes = ray.nodes()  # type: ignore[no-untyped-call]
            return max((node["Resources"].get("CPU", 0) for node in nodes if node["Alive"]), default=1)
        return self.threads if call.on_device else 1

    def _gpus(self, call: Call, whole: bool) -> float:
        if not call.on_device or self.params["compute"]["device"] == "cpu" or not self.resources.get("GPU"):
            return 0.0
        if call.exclusive or whole:
            return 1.0
        share = self.share or self._measured.get(call.kind, 1.0)
        return 1 / max(1, min(CROWD, math.floor(1 / share)))

    def wait(self, running: list[Any], seconds: float) -> list[Any]:
        """The stages that are done, of those that run; none where it takes longer than that."""
        import ray

        done, _ = ray.wait(running, num_returns=len(running), timeout=0)
        if not done:
            done, _ = ray.wait(running, num_returns=1, timeout=seconds)
        return list(done)

    def result(self, call: Call, reference: Any) -> Outcome:
        """How a stage that is done ended.

        Raises:
            Died: its worker or host did, several times.
        """
        import ray

        try:
            outcome: Outcome = ray.get(reference)
        except ray.exceptions.RayTaskError as error:  # a fault of the sweep's own, not of the stage
            raise Died(" ".join(str(error).split())[-300:]) from None
        except ray.exceptions.RayError as error:
            raise Died(f"its worker died {RETRIES + 1} times: {' '.join(str(error).split())[:300]}") from None
        if outcome.share:
            self._measured[call.kind] = max(self._measured.get(call.kind, 0.0), min(1.0, MARGIN * outcome.share))
        return outcome

    def start(self) -> None:
        """Start Ray or join the cluster, unless that is done.

        Raises:
            UserError: no cluster at the address, or ``workers`` given for one.
        """
        if self._started:
            return
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        # A worker goes from one GPU to another, so it has to see all of them (worker.py chooses).
        os.environ.setdefault("RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES", "1")
        address = os.environ.get("RAY_ADDRESS")
        if not address:
            _stay_here()
        import ray

        if address and self.workers:
            raise UserError(
                f"workers are for this machine; the cluster at RAY_ADDRESS={address} decides how many it runs"
            )
        on_terminate = signal.getsignal(signal.SIGTERM)
        try:
            self._connect(address)
        except (ConnectionError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
            where = f"RAY_ADDRESS={address}" if address else "this machine"
            asked = address and "RAY_AUTH_MODE" not in os.environ
            hint = " (if it asks for a token: RAY_AUTH_MODE=token)" if asked else ""
            raise UserError(f"Ray on {where}: {' '.join(str(error).split())[:300]}{hint}") from None
        signal.signal(signal.SIGTERM, on_terminate)  # Ray has put its own, which leaves no time to write lock files
        self._started = True
        self._given = ray.put(self.params)
        # max_calls 0: a worker that has used a GPU stays, too.
        self._run = ray.remote(max_calls=0)(worker.run)

    def _connect(self, address: str | None) -> None:
        import ray

        quiet: dict[str, Any] = {"logging_level": "CRITICAL", "log_to_driver": False}
        if address:
            environment = {"working_dir": self.place.root, "excludes": LEFT_OUT, "env_vars": passed_on(os.environ)}
            ray.init(address=address, runtime_env=environment, **quiet)
        else:
            memory = 128 * 2**20  # for params alone: stages exchange files
            ray.init(
                address="local", num_cpus=self._cores(), include_dashboard=False, object_store_memory=memory, **quiet
            )

    def _cores(self) -> int:
        return max(1, self.workers or cores() // self.threads) * self.threads

    def close(self) -> None:
        """Leave the cluster, or end the one that was started; either ends what runs."""
        import ray

        if self._started:
            ray.shutdown()

    def cancel(self, running: list[Any]) -> None:
        """Kill the workers of stages that run."""
        import ray

        for reference in running:
            ray.cancel(reference, force=True)
