"""Backbones: networks that turn images into features. One file each, which alone imports its package."""

from typing import Any

import torch
from torch import nn

from pipeline.params import schema
from pipeline.runtime.errors import UserError
from pipeline.runtime.paths import given
from pipeline.runtime.registry import Registry


class Backbone(nn.Module):
    """Maps images (b, 3, S, S), normalized with ``mean`` and ``std``, to features (b, num_features).

    A subclass takes ``weights``: ``none`` (random), ``imagenet`` (pretrained), or the path of a ``state_dict`` file. It
    may take keyword-only arguments of its own, which are further keys of params.yaml's ``backbone`` section.
    """

    #: Per-channel mean and standard deviation for normalizing the input, for pixels scaled to [0, 1].
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    num_features: int
    #: The smallest input size S, in pixels, that the architecture supports.
    smallest_input: int = 8

    def set_input_size(self, size: int) -> None:
        """Prepare the backbone for images of ``size`` x ``size`` pixels; called once.

        Raises:
            UserError: the architecture doesn't support the size.
        """
        if size < self.smallest_input:
            name = type(self).__module__.rpartition(".")[2]
            raise UserError(f"backbone.input_size: expected at least {self.smallest_input} for {name}, found {size}")


_REGISTRY = Registry("pipeline.backbones", "backbone", Backbone)
names = _REGISTRY.names


def create(name: str, *, weights: str = "none", **own: Any) -> Backbone:
    """Make the backbone called ``name``.

    Args:
        name: a registered name.
        weights: ``none``, ``imagenet`` or the path of a ``state_dict`` file.
        own: the backbone's own arguments, see its file.

    Raises:
        UserError: unknown name or argument, or the weights can't be loaded.

    Examples:
        >>> cnn = create("cnn").eval()
        >>> cnn(torch.zeros(1, 3, 32, 32)).shape[1] == cnn.num_features
        True
    """
    return _REGISTRY.create(name, weights=weights, **own)


def from_section(section: schema.Backbone) -> Backbone:
    """Make the backbone that params.yaml's ``backbone`` section describes, for its input size.

    Raises:
        UserError: unknown backbone, weights that can't be loaded, or an input size that the backbone doesn't support.
    """
    own = {key: value for key, value in section.items() if key not in schema.Backbone.__annotations__}
    backbone = create(section["name"], weights=section["weights"], **own)
    backbone.set_input_size(section["input_size"])
    return backbone


def load_file(network: nn.Module, path: str, *, name: str = "", unused: tuple[str, ...] = ()) -> None:
    """Load a ``state_dict`` (.safetensors, or .pt/.pth read with ``weights_only``) into ``network``.

    Args:
        network: receives the tensors.
        path: the file, absolute or relative to the project's folder.
        name: what the network is called in messages; by default, the name of its class.
        unused: names of layers, such as a classifier, whose tensors may be in the file and are not loaded.

    Raises:
        UserError: the file is missing or unreadable, or its tensors don't match the network.
    """
    file = given(path)
    if not file.is_file():
        raise UserError(f"backbone.weights: no file {path!r}; expected 'none', 'imagenet' or the path of a state_dict")
    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file as read

            state = read(file)
        else:
            state = torch.load(file, map_location="cpu", weights_only=True)
        if unused and isinstance(state, dict):
            starts = tuple(f"{layer}." for layer in unused)
            state = {key: value for key, value in state.items() if not key.startswith(starts)}
        network.load_state_dict(state)
    except Exception as error:
        # The first line of torch's message is a heading and the second names a tensor; either may be missing.
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = " ".join(lines[:2]) or type(error).__name__
        raise UserError(
            f"backbone.weights: {path} doesn't fit {name or type(network).__name__}: {reason[:300]}"
        ) from None
