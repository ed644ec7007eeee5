"""``timm``: any network of the package timm (Wightman 2019) by its name: ViT, DINOv2, CLIP, ConvNeXt, ResNet, ..."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from pipeline.backbones import Backbone, load_file
from pipeline.runtime.errors import UserError, first_line, with_type
from pipeline.runtime.registry import nearest


class Timm(Backbone):
    """A network of timm up to its pooled features, without its classifier; normalization as timm states it.

    The network is built for its own input size, and its weights are loaded at that size. If timm can change the size
    of the network (ViT, DINOv2, CLIP, EVA, Swin and others), position embeddings are then resampled to the input size
    of params.yaml. Networks that have no fixed size (ConvNeXt, ResNet) take any size that leaves them a position.

    Args:
        model: timm's name of the network, with or without the tag of its pretrained weights, such as
            ``vit_small_patch14_dinov2.lvd142m``. Without a tag, it is timm's default tag.
        weights: ``none``, ``imagenet`` or ``pretrained`` (both are the tag's weights from the Hugging Face hub,
            whatever images they were made from), or the path of a ``state_dict`` of timm's network. Its classifier
            isn't used.

    Raises:
        UserError: timm isn't installed, it has no such network, or the weights can't be loaded.
    """

    #: timm doesn't state a smallest size, so ``set_input_size`` tries the size.
    smallest_input = 1

    def __init__(self, *, model: str, weights: str = "none") -> None:
        super().__init__()
        known = _settings(model)
        self.model, self.own_size = model, int(known.input_size[-1])
        self.mean, self.std = known.mean, known.std
        if weights in ("imagenet", "pretrained"):
            self.network = _pretrained(model, known)
        else:
            self.network = _made(model)
            if weights != "none":
                load_file(self.network, weights, name=model, unused=_classifiers(known))
        self.num_features = int(self.network.head_hidden_size)

    def set_input_size(self, size: int) -> None:
        """See ``Backbone``. The size is tried on a copy without values (torch's ``meta`` device), which takes no time.

        Raises:
            UserError: the network doesn't support the size, or doesn't give one vector per image.
        """
        try:
            with torch.device("meta"), torch.no_grad():
                copy = _resized(_made(self.model).eval(), size)
                found = tuple(copy(torch.zeros(1, 3, size, size)).shape)
        except Exception as error:  # every architecture refuses a size in its own way
            raise UserError(
                f"backbone.input_size: {self.model} can't take {size} pixels ({first_line(error).rstrip('.')}); "
                f"its own size is {self.own_size}"
            ) from None
        if found != (1, self.num_features):
            raise UserError(
                f"backbone.model: {self.model} gives an array {found} for an image instead of one vector; "
                "choose a network that pools its features"
            )
        _resized(self.network, size)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.network(images)
        return features


def _timm() -> Any:
    """The package; imported here, since it is optional and takes seconds."""
    try:
        import timm
    except ImportError as error:
        raise UserError(
            f"backbone.name: timm needs the package {error.name}; run `pip install -r requirements-timm.txt`"
        ) from None
    return timm


def _settings(model: str) -> Any:
    """timm's settings of a network and tag: input size, normalization, where the weights are.

    Raises:
        UserError: timm isn't installed, or it has no such network or tag; the message names the nearest one.
    """
    timm = _timm()
    name, dot, tag = model.partition(".")
    if name not in timm.list_models():  # without the deprecated names that timm still accepts
        hint = nearest(name, timm.list_models()) or "; `python -c 'import timm; print(*timm.list_models())'` lists them"
        raise UserError(f"backbone.model: timm {timm.__version__} has no network {name!r}{hint}")
    tags = [full.partition(".")[2] for full in timm.list_models(f"{name}.*", pretrained=True)]
    if dot and tag not in tags:
        raise UserError(
            f"backbone.model: timm {timm.__version__} has no weights {tag!r} of {name}{nearest(tag, tags)}; "
            f"known: {', '.join(tags) or 'none'}"
        )
    return timm.get_pretrained_cfg(model)


def _made(model: str) -> Any:
    """The network with random weights and without its classifier."""
    return _timm().create_model(model, num_classes=0)


def _resized(network: Any, size: int) -> Any:
    """Change the size of images that the network is made for, if timm can do so for its architecture.

    Raises:
        ValueError: the size isn't a multiple of the network's patches; timm would ignore the pixels that remain.
    """
    if tuple(network.pretrained_cfg["input_size"][1:]) != (size, size) and hasattr(network, "set_input_size"):
        patch = max(getattr(getattr(network, "patch_embed", None), "patch_size", (1,)))
        if size % patch:
            raise ValueError(f"it isn't a multiple of {patch}, the side of a patch")
        network.set_input_size(img_size=size)
    return network


def _classifiers(known: Any) -> tuple[str, ...]:
    """Names of the layers that are left out."""
    return (known.classifier,) if isinstance(known.classifier, str) else tuple(known.classifier or ())


def _pretrained(model: str, known: Any) -> Any:
    """The network with the weights of its tag, from the cache of the Hugging Face hub or downloaded.

    Raises:
        UserError: there are no such weights, or they couldn't be downloaded.
    """
    if not known.has_weights:
        raise UserError(
            f"backbone.weights: timm has no weights of {model}; expected 'none' or the path of a state_dict"
        )
    try:
        with _quiet():
            return _timm().create_model(model, pretrained=True, num_classes=0)
    except (OSError, RuntimeError) as error:
        reason = with_type(error.__cause__ or error)
        place = f"model.safetensors from https://huggingface.co/{known.hf_hub_id}" if known.hf_hub_id else known.url
        raise UserError(
            f"backbone.weights: the weights of {model} couldn't be downloaded ({reason}); fetch {place} on a machine "
            "with a network and set backbone.weights to the file's path, or set it to 'none'"
        ) from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the hub's warnings about every further try: what failed in the end is reported in one line."""
    log = logging.getLogger("huggingface_hub")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)
