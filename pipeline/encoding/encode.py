"""Compute the network's raw outputs for many images, and write a cell's packed codes to disk."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pipeline.codes import pack, pack_labels, sign
from pipeline.encoding.images import Inputs, Mapped
from pipeline.encoding.network import HashNetwork
from pipeline.preparation.arrays import Prepared
from pipeline.preparation.splits import Indices, Split
from pipeline.runtime.outputs import write_json


def outputs(network: HashNetwork, images: npt.NDArray[Any], indices: Indices, device: torch.device) -> Tensor:
    """Raw head outputs for ``images[indices]`` in evaluation mode.

    The next images are read while a batch is encoded. No images are kept in memory.

    Args:
        network: the hashing network.
        images: (N, S, S, 3) uint8, or features (N, V, D) float32; usually memory-mapped.
        indices: (n,) rows to encode.
        device: the network's device.

    Returns:
        (n, K) float32 on the CPU.
    """
    return outputs_of(network, Mapped(images, indices, device)).cpu()


@torch.no_grad()
def outputs_of(network: HashNetwork, inputs: Inputs) -> Tensor:
    """Raw head outputs (n, K) float32 for n inputs in evaluation mode; the result is on the network's device."""
    was_training = network.training
    network.eval()
    batches = [network(batch) for batch in inputs.in_order(network.batch_size)]
    network.train(was_training)
    return torch.cat(batches)


def write_codes(network: HashNetwork, data: Prepared, split: Split, device: torch.device, target: Path) -> None:
    """Write the packed codes of query and database, with all data that a search index needs.

    For each part: ``<part>_codes.npy`` (n, ceil(K/8)) uint8, ``<part>_labels.npy`` (n, ceil(C/8)) uint8 and
    ``<part>_indices.npy`` (n,) int64, the images' positions in the prepared arrays. ``codes.json`` contains the code
    length, the number of classes, the bit order, the data's content hash, and the quantization error: the mean of
    ||u| - 1| over bits and database images, i.e. the distance of raw outputs from their binary codes.

    Args:
        network: the trained network.
        data: the prepared dataset, or its features.
        split: the split of the cell's seed.
        device: the network's device.
        target: the folder to write into.
    """
    errors = {}
    for part in ("query", "database"):
        indices = getattr(split, part)
        u = outputs(network, data.images, indices, device).numpy()
        np.save(target / f"{part}_codes.npy", pack(sign(u)))
        np.save(target / f"{part}_labels.npy", pack_labels(data.labels[indices]))
        np.save(target / f"{part}_indices.npy", indices)
        errors[part] = float(np.abs(np.abs(u) - 1).mean(dtype=np.float64))
    about = {
        "code_length": network.code_length,
        "num_classes": data.labels.shape[1],
        "bit": "1 is +1, 0 is -1; the first bit is the highest of the first byte (numpy.packbits)",
        "quantization_error": errors["database"],
        "content_hash": data.manifest["content_hash"],
    }
    write_json(target / "codes.json", about)
