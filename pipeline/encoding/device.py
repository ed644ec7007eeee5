"""Device, numerical precision and determinism."""

import os
import platform
import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache

import torch
import torch.utils.deterministic

from pipeline.encoding import portable
from pipeline.params import schema
from pipeline.runtime import numerics
from pipeline.runtime.errors import UserError


@dataclass(frozen=True)
class Compute:
    """The device and precision that params.yaml's ``compute`` section selects on this machine.

    Each network stores the ``Compute`` that it was made for.

    Args:
        device: the device of weights, images and codes.
        precision: ``float32`` or ``bfloat16``, in which the network's layers compute. Weights, outputs, losses and
            optimizers are float32 in both cases.
    """

    device: torch.device
    precision: str

    @property
    def memory_format(self) -> torch.memory_format:
        """channels_last for bfloat16, whose convolutions are meant for it on every device; else contiguous."""
        return torch.channels_last if self.precision == "bfloat16" else torch.contiguous_format

    def autocast(self) -> AbstractContextManager[object]:
        """A context manager; layers called inside compute in ``precision``."""
        return torch.autocast(self.device.type, torch.bfloat16) if self.precision == "bfloat16" else nullcontext()


def choose(section: schema.Compute) -> Compute:
    """Choose the device and precision, and set the number of CPU threads of this process and how it computes.

    Device ``auto`` is CUDA if available, else MPS, else the CPU. Precision ``auto`` is bfloat16 on CUDA and float32
    elsewhere. float32 is full precision: TensorFloat-32, which cuDNN uses for convolutions by default, is off.

    Args:
        section: params.yaml's ``compute`` section.

    Raises:
        UserError: the given device isn't available.
    """
    torch.set_num_threads(section["threads"])
    # These settings apply to the whole process. Under bfloat16, only the losses are still computed in float32.
    torch.backends.cudnn.allow_tf32 = False
    torch.set_float32_matmul_precision("highest")
    device, precision = _device(section["device"]), section["precision"]
    if precision == "auto":
        precision = "bfloat16" if device.type == "cuda" else "float32"
    compute = Compute(device, precision)
    if kernels(compute) == "portable":
        portable.by_numpy(section["threads"])
    return compute


def _device(name: str) -> torch.device:
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, available in there.items() if available))
    if not there[name]:
        found = ", ".join(kind for kind, available in there.items() if available)
        raise UserError(f"compute.device: {name!r} is not available on this machine; found {found}; use 'auto'")
    return torch.device(name)


def kernels(compute: Compute) -> str:
    """Which kernels this process uses: ``portable`` or ``native``, see ``pipeline.runtime.numerics``."""
    limited = numerics.applied() and torch.backends.cpu.get_cpu_capability() == "AVX2"
    return "portable" if limited and compute.device.type == "cpu" and compute.precision == "float32" else "native"


@cache
def warn_if_native(asked: str, compute: Compute) -> None:
    """Print a warning to standard error if results on this CPU can't be portable although params.yaml asks for it."""
    if asked == "portable" and compute.device.type == "cpu" and kernels(compute) == "native":
        why = (
            "bfloat16 needs instructions that not every CPU has"
            if compute.precision == "bfloat16"
            else "this isn't an x86-64 CPU with AVX2, or torch was imported before params.yaml was read"
        )
        print(f"warning: compute.numerics: results may differ on another CPU, since {why}", file=sys.stderr)


def computes_bfloat16() -> bool:
    """Whether this CPU has bfloat16 instructions: AVX512-BF16 (included in every CPU with AMX), or ARM's."""
    if platform.machine() in ("x86_64", "AMD64"):
        # oneDNN's own check is true for every AVX512 CPU, since it can convert to float32 and back.
        return bool(torch.cpu._is_avx512_bf16_supported())
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


@cache  # warn once per process: a stage may train many networks
def warn_if_emulated(compute: Compute) -> None:
    """Print a warning to standard error if the CPU has to emulate ``bfloat16``, which is only slower."""
    if compute.device.type == "cpu" and compute.precision == "bfloat16" and not computes_bfloat16():
        print(
            "warning: compute.precision: this CPU has no bfloat16 instructions (AVX512-BF16, AMX); "
            "bfloat16 is emulated, which takes longer than float32",
            file=sys.stderr,
        )


def make_deterministic(seed: int, device: torch.device) -> None:
    """Seed torch and select deterministic algorithms, so that a repeated run on one machine gives the same bytes.

    Args:
        seed: seed of torch's global generator (weight initialization, dropout).
        device: the device that is used.
    """
    torch.manual_seed(seed)
    if device.type == "cuda":
        # Only for CUDA: the CPU algorithms used here are deterministic, and use_deterministic_algorithms imports
        # torch's compiler (1.8 s). cuBLAS reads the environment variable at its first use.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
        # Don't fill every new tensor: no code here reads uninitialized memory.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        torch.backends.cudnn.benchmark = False
