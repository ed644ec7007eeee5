"""A DVC stage in a form that can be sent to a worker."""

import shlex
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Call:
    """What a worker needs to know about a stage.

    Args:
        address: DVC's name of the stage, such as ``cells/train/dvc.yaml:train@dsdh-wr-16-0``.
        commands: its command lines.
        wdir: its working folder, relative to the project's root.
        outs: paths of its outputs, relative to the project's root.
        on_device: whether it computes on params.yaml's device (``meta: {on_device: true}`` in its dvc.yaml).
        exclusive: whether it must run alone because it measures time (``meta: {exclusive: true}``).
    """

    address: str
    commands: tuple[str, ...]
    wdir: str
    outs: tuple[str, ...]
    on_device: bool = False
    exclusive: bool = False

    @cached_property
    def module(self) -> tuple[str, list[str]] | None:
        """The module in stages/ that the stage runs, and its arguments; None for any other command."""
        if len(self.commands) != 1 or self.wdir != ".":
            return None
        words = shlex.split(self.commands[0])
        if words[:2] != ["python", "-m"] or not words[2].startswith("stages."):
            return None
        return words[2], words[3:]

    @cached_property
    def kind(self) -> str:
        """The stage's name without its cell: ``train``."""
        return self.address.split(":")[-1].split("@")[0]

    @property
    def name(self) -> str:
        """The stage's name without the path of its dvc.yaml: ``train@dsdh-wr-16-0``. It is valid as a file name."""
        return self.address.split(":")[-1]

    @cached_property
    def options(self) -> dict[str, str]:
        """Its arguments by name: ``{"method": "dsdh", ...}``."""
        _, words = self.module or ("", [])
        return {name.removeprefix("--"): value for name, value in zip(words[::2], words[1::2], strict=False)}

    @cached_property
    def cell(self) -> tuple[str, str, str, str] | None:
        """(method, quantizer, bits, seed) if the stage belongs to one cell of the grid, else None."""
        given = self.options
        if not {"method", "quantizer", "bits", "seed"} <= given.keys() or "batch-size" in given:
            return None
        return given["method"], given["quantizer"], given["bits"], given["seed"]
