"""Write a trained cell's network as a folder of files, for ``pipeline.operations.model.encoder.Encoder``."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from pipeline.encoding.device import Compute
from pipeline.encoding.head import of_method
from pipeline.encoding.network import with_backbone
from pipeline.features.extraction import digest
from pipeline.features.views import precision
from pipeline.operations.model.encoder import ABOUT, WEIGHTS
from pipeline.operations.tracking.content import used_params
from pipeline.params import Params
from pipeline.runtime import provenance, stored
from pipeline.runtime.errors import UserError
from pipeline.runtime.layout import Cell, Layout
from pipeline.runtime.outputs import read_json, write_json
from pipeline.runtime.provenance import Record


def write(params: Params, cell: Cell, folder: Path) -> None:
    """Write ``about.json`` and ``weights.safetensors`` into a folder.

    The network is the one that was trained: params come from the cell's record, also where params.yaml says otherwise
    now. The weights include those of a frozen backbone, in float32.

    Args:
        params: the content of params.yaml.
        cell: a trained cell.
        folder: an existing folder.

    Raises:
        UserError: the cell's files are missing or damaged, or it was trained on other data than the present.
    """
    layout = Layout(params["study"])
    used = used_params(params, cell, layout, _record(cell, layout))
    data = read_json(layout.data / "manifest.json")
    about = _about(used, cell, layout, data)
    write_folder(_state(used, cell, layout, about), about, folder)


def write_folder(state: dict[str, Tensor], about: dict[str, Any], folder: Path) -> None:
    """Write the two files of a network.

    Args:
        state: the tensors of a ``HashNetwork``, by name.
        about: see ``pipeline.operations.model.encoder.described``.
        folder: an existing folder.
    """
    # Not save_file, whose file only its owner may read.
    (folder / WEIGHTS).write_bytes(save({name: value.detach().contiguous() for name, value in state.items()}))
    write_json(folder / ABOUT, about)


def _record(cell: Cell, layout: Layout) -> Record:
    """The record of the cell's training. The data and features that it names must be the present ones."""
    record = provenance.read(layout.train(cell))
    if record is None:
        raise UserError(f"{layout.train(cell)}: no record of what it was made from; run `dvc repro`")
    for path, known in record.inputs.items():
        found = provenance.content(layout.folder, path) if path.split("/")[0] == layout.inputs.name else known
        if found not in (None, known):
            raise UserError(f"{cell.name} was trained on another {layout.folder / path}; run `dvc repro`")
    return record


def _about(used: Params, cell: Cell, layout: Layout, data: dict[str, Any]) -> dict[str, Any]:
    vectors = "num_features" in data
    if used["backbone"]["frozen"] and not vectors:
        computed: str = precision(used, layout)
    else:
        computed = read_json(layout.train(cell) / "training.json")["precision"]
    return {
        "backbone": {**used["backbone"], "weights": "none"},
        "bits": cell.bits,
        "precision": computed,
        "image_size": data["image_size"],
        "head": of_method(used, cell.method),
    } | ({"num_features": data["num_features"]} if vectors else {})


def _state(used: Params, cell: Cell, layout: Layout, about: dict[str, Any]) -> dict[str, Tensor]:
    """All tensors of the network, those of a frozen backbone included."""
    weights = layout.train(cell) / WEIGHTS
    if not used["backbone"]["frozen"] or about["image_size"] is None:
        return stored.weights(weights)
    # Only weights are made here, and they are float32 whatever the layers compute in.
    whole = with_backbone(used, cell.group, Compute(torch.device("cpu"), "float32"), weights)
    features = layout.features(used["features"]["views"][0])
    if digest(whole.backbone) != read_json(features / "manifest.json")["weights"]:
        raise UserError(f"backbone.weights: not those that {features} was made with; put them back, or run `dvc repro`")
    return whole.state_dict()
