"""Run stages on Ray, started here or at RAY_ADDRESS. Ray schedules stages, restarts workers and retries."""

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
from pipeline.params import Params
from pipeline.runtime.errors import UserError, hidden
from pipeline.runtime.machine import cores
from pipeline.runtime.numerics import PORTABLE

#: How often Ray reruns a stage after its worker or host died.
RETRIES = 3
#: Stages submitted to Ray per slot, so that the next stage is already queued when a worker finishes.
AHEAD = 2
#: Factor on a measured share of GPU memory, since the next cell may need a little more.
MARGIN = 1.2
#: Maximum number of cells on one GPU.
CROWD = 16
#: Paths that are not copied to hosts that don't share the project's folder.
LEFT_OUT = [
    "/results", "/.venv", "/.git", "/.dvc/cache", "/.dvc/tmp", "/mlruns", "/mlflow.db", "/data", "/docs", "/tests",
]  # fmt: skip


#: Environment variables (or prefixes) passed to workers on other hosts. Ray shows them in its logs and dashboard, so
#: none holds credentials.
PASSED = ("MLFLOW_TRACKING_URI", "MLFLOW_HTTP_", "MLFLOW_TRACKING_INSECURE_TLS", "RAY_EXPERIMENTAL_", *PORTABLE)


def passed_on(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment variables passed to workers on other hosts: MLflow's address, but no name, password or token;
    and those of ``compute.numerics``.

    Credentials must be set in the environment of `ray start` on each host.
    """
    return {key: hidden(value) for key, value in environment.items() if key.startswith(PASSED)}


def _stay_here() -> None:
    """Make Ray listen on loopback only, and accept only this process and its children.

    On Linux, Ray listens on all interfaces unless multi-node clusters are disabled, as the first variable does. The
    token is kept in the environment of these processes. By default, Ray writes a token that all users can read to
    ``~/.ray/auth_token``.
    """
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    if "RAY_AUTH_MODE" not in os.environ:
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}


class Died(Exception):
    """The worker or host of a stage died, also in every retry."""


@dataclass
class Cluster:
    """Runs stages on the Ray cluster at RAY_ADDRESS, or on one started on this machine.

    ``start`` starts Ray before the first stage runs, so a sweep without work does not wait for it.

    Args:
        place: where the project is (``exchange``).
        params: params.yaml as it was when the sweep began.
        workers: number of parallel stages on this machine; None gives number of cores / ``compute.threads``.
        share: share of a GPU for a stage that computes on it; None uses the measured memory of earlier stages.
    """

    place: Place
    params: Params
    workers: int | None = None
    share: float | None = None
    _started: bool = False
    _given: Any = None
    _run: Any = None
    _measured: dict[str, float] = field(default_factory=dict)
    _size: tuple[float, dict[str, float]] = (0.0, {})

    @property
    def resources(self) -> dict[str, float]:
        """CPUs and GPUs of all running hosts, updated every two seconds, since hosts may join or leave."""
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

    def slots(self) -> int:
        """Number of stages that run at a time, as far as cores decide."""
        return max(1, int(self.resources.get("CPU", 1) // self.threads))

    def room(self) -> int:
        """Maximum number of stages that are submitted to Ray at a time."""
        return AHEAD * self.slots()

    def submit(self, call: Call, inputs: list[Entry], *, here: bool, whole_gpu: bool = False) -> Any:
        """Submit a stage to Ray.

        Args:
            call: the stage.
            inputs: its inputs, for hosts that don't share the project's folder.
            here: run it on the driver's host, which has its inputs.
            whole_gpu: don't share its GPU with other stages.

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
        """Wait until a stage is done.

        Args:
            running: references of running stages.
            seconds: how long to wait at most.

        Returns:
            the references of all stages that are done; empty after a timeout.
        """
        import ray

        done, _ = ray.wait(running, num_returns=len(running), timeout=0)
        if not done:
            done, _ = ray.wait(running, num_returns=1, timeout=seconds)
        return list(done)

    def result(self, call: Call, reference: Any) -> Outcome:
        """The result of a stage that is done.

        Raises:
            Died: its worker or host died in every attempt, or the sweep's own code failed in the worker.
        """
        import ray

        try:
            outcome: Outcome = ray.get(reference)
        except ray.exceptions.RayTaskError as error:  # an error of the sweep itself, not of the stage
            raise Died(" ".join(str(error).split())[-300:]) from None
        except ray.exceptions.RayError as error:
            raise Died(f"its worker died {RETRIES + 1} times: {' '.join(str(error).split())[:300]}") from None
        if outcome.share:
            self._measured[call.kind] = max(self._measured.get(call.kind, 0.0), min(1.0, MARGIN * outcome.share))
        return outcome

    def start(self) -> None:
        """Start Ray or connect to the cluster, unless already done.

        Raises:
            UserError: Ray can't be started or reached, or ``workers`` was given together with RAY_ADDRESS.
        """
        if self._started:
            return
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        # A worker switches between GPUs, so it must see all of them; worker.py selects one.
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
        except Exception as error:  # on a busy machine, Ray raises one without a class of its own
            where = f"RAY_ADDRESS={address}" if address else "this machine"
            asked = address and "RAY_AUTH_MODE" not in os.environ
            hint = " (if it asks for a token: RAY_AUTH_MODE=token)" if asked else ""
            raise UserError(f"Ray on {where}: {' '.join(str(error).split())[:300]}{hint}") from None
        signal.signal(signal.SIGTERM, on_terminate)  # Ray's own handler leaves no time to write lock files
        self._started = True
        self._given = ray.put(self.params)
        # max_calls=0: also keep workers that have used a GPU.
        self._run = ray.remote(max_calls=0)(worker.run)

    def _connect(self, address: str | None) -> None:
        import ray

        quiet: dict[str, Any] = {"logging_level": "CRITICAL", "log_to_driver": False}
        if address:
            environment = {"working_dir": self.place.root, "excludes": LEFT_OUT, "env_vars": passed_on(os.environ)}
            ray.init(address=address, runtime_env=environment, **quiet)
        else:
            memory = 128 * 2**20  # only for params: stages exchange files
            ray.init(
                address="local", num_cpus=self._cores(), include_dashboard=False, object_store_memory=memory, **quiet
            )

    def _cores(self) -> int:
        return max(1, self.workers or cores() // self.threads) * self.threads

    def close(self) -> None:
        """Disconnect from the cluster, or stop the local one. Running stages are stopped."""
        import ray

        if self._started:
            ray.shutdown()

    def cancel(self, running: list[Any]) -> None:
        """Kill the workers of running stages."""
        import ray

        for reference in running:
            ray.cancel(reference, force=True)
