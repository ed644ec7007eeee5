"""Where tensors live and how precisely they are computed."""

import os
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.utils.deterministic

from pipeline.runtime.errors import UserError


def choose(section: dict[str, Any]) -> torch.device:
    """The device of params.yaml's ``compute`` section, and that many CPU threads for this process.

    ``auto`` takes CUDA, then MPS, then the CPU.

    Raises:
        UserError: the device that is asked for isn't there.
    """
    torch.set_num_threads(section["threads"])
    name = section["device"]
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, available in there.items() if available))
    if not there[name]:
        found = ", ".join(kind for kind, available in there.items() if available)
        raise UserError(f"compute.device: {name!r} is not available on this machine; found {found}; use 'auto'")
    return torch.device(name)


def autocast(device: torch.device) -> AbstractContextManager[object]:
    """bfloat16 where it is fast and safe (CUDA), full precision elsewhere."""
    return torch.autocast("cuda", torch.bfloat16) if device.type == "cuda" else nullcontext()


def memory_format(device: torch.device) -> torch.memory_format:
    """channels_last on CUDA, whose bfloat16 convolutions want it."""
    return torch.channels_last if device.type == "cuda" else torch.contiguous_format


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
