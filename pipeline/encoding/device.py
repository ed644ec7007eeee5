"""Where tensors live and how precisely they are computed."""

import os
import platform
import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import torch.utils.deterministic

from pipeline.runtime.errors import UserError


@dataclass(frozen=True)
class Compute:
    """What params.yaml's ``compute`` section comes to on this machine; a network is made for one and carries it.

    Args:
        device: where weights, images and codes live.
        precision: ``float32`` or ``bfloat16``: what a network's layers compute in. Weights, outputs, losses and
            optimizers are float32 with either.
    """

    device: torch.device
    precision: str

    @property
    def memory_format(self) -> torch.memory_format:
        """channels_last for bfloat16, whose convolutions want it on every device."""
        return torch.channels_last if self.precision == "bfloat16" else torch.contiguous_format

    def autocast(self) -> AbstractContextManager[object]:
        """Layers called within it compute in ``precision``."""
        return torch.autocast(self.device.type, torch.bfloat16) if self.precision == "bfloat16" else nullcontext()


def choose(section: dict[str, Any]) -> Compute:
    """The device and precision of params.yaml's ``compute`` section, and that many CPU threads for this process.

    Device ``auto`` is CUDA, then MPS, then the CPU. Precision ``auto`` is bfloat16 on CUDA, float32 elsewhere.
    float32 is full precision: TensorFloat-32, which cuDNN would take for convolutions, is off.

    Raises:
        UserError: the device that is asked for isn't there.
    """
    torch.set_num_threads(section["threads"])
    # Settings of the process, so made for every stage. Under bfloat16 nothing but losses is left in float32.
    torch.backends.cudnn.allow_tf32 = False
    torch.set_float32_matmul_precision("highest")
    device, precision = _device(section["device"]), section["precision"]
    if precision == "auto":
        precision = "bfloat16" if device.type == "cuda" else "float32"
    return Compute(device, precision)


def _device(name: str) -> torch.device:
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, available in there.items() if available))
    if not there[name]:
        found = ", ".join(kind for kind, available in there.items() if available)
        raise UserError(f"compute.device: {name!r} is not available on this machine; found {found}; use 'auto'")
    return torch.device(name)


def computes_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 by itself: AVX512-BF16 (all that have AMX have it too), or ARM's."""
    if platform.machine() in ("x86_64", "AMD64"):
        # oneDNN's own answer is yes for all of AVX512, where it converts to float32 and back.
        return bool(torch.cpu._is_avx512_bf16_supported())
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


@cache  # once a process: a stage may train many networks
def warn_if_emulated(compute: Compute) -> None:
    """A line on standard error where the CPU has to emulate ``bfloat16``; it then only takes longer."""
    if compute.device.type == "cpu" and compute.precision == "bfloat16" and not computes_bfloat16():
        print(
            "warning: compute.precision: this CPU has no bfloat16 instructions (AVX512-BF16, AMX); "
            "bfloat16 is emulated, which takes longer than float32",
            file=sys.stderr,
        )


def make_deterministic(seed: int, device: torch.device) -> None:
    """Fix weights' initialization, dropout and algorithms; the same run on one machine gives the same bytes."""
    torch.manual_seed(seed)
    if device.type == "cuda":
        # On the CPU nothing here has a non-deterministic algorithm, and the switch imports torch's compiler (1.8 s).
        # cuBLAS reads its variable when it is first used.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
        # Nothing here reads memory that wasn't written; the switch would have every new tensor filled first.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        torch.backends.cudnn.benchmark = False
