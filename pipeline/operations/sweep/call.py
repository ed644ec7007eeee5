"""A stage as something that can be sent to a worker."""

import shlex
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Call:
    """What a worker needs to know of a stage.

    Args:
        address: DVC's name of it, ``cells/train/dvc.yaml:train@dsdh-wr-16-0``.
        commands: its command lines.
        wdir: where they run, from the project's root.
        outs: what they make, from the project's root.
        on_device: whether it computes on params.yaml's device (``meta: {on_device: true}`` in its dvc.yaml).
        exclusive: whether it measures time, so that nothing may run beside it (``meta: {exclusive: true}``).
    """

    address: str
    commands: tuple[str, ...]
    wdir: str
    outs: tuple[str, ...]
    on_device: bool = False
    exclusive: bool = False

    @cached_property
    def module(self) -> tuple[str, list[str]] | None:
        """The file in stages/ that it runs, and its arguments; None for any other command."""
        if len(self.commands) != 1 or self.wdir != ".":
            return None
        words = shlex.split(self.commands[0])
        if words[:2] != ["python", "-m"] or not words[2].startswith("stages."):
            return None
        return words[2], words[3:]

    @cached_property
    def kind(self) -> str:
        """``train``; what it is one of many of."""
        return self.address.split(":")[-1].split("@")[0]

    @property
    def name(self) -> str:
        """``train@dsdh-wr-16-0``, good for a file's name."""
        return self.address.split(":")[-1]

    @cached_property
    def options(self) -> dict[str, str]:
        """Its arguments by name: ``{"method": "dsdh", ...}``."""
        _, words = self.module or ("", [])
        return {name.removeprefix("--"): value for name, value in zip(words[::2], words[1::2], strict=False)}

    @cached_property
    def cell(self) -> tuple[str, str, str, str] | None:
        """(method, quantizer, bits, seed) where it is a stage of one cell of the grid."""
        given = self.options
        if not {"method", "quantizer", "bits", "seed"} <= given.keys() or "batch-size" in given:
            return None
        return given["method"], given["quantizer"], given["bits"], given["seed"]
