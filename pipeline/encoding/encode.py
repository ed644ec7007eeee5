"""Raw outputs of many images, and a cell's packed codes on disk."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pipeline.codes import pack, pack_labels, sign
from pipeline.encoding.images import Mapped, Pixels
from pipeline.encoding.network import HashNetwork
from pipeline.preparation.arrays import Prepared
from pipeline.preparation.splits import Indices, Split
from pipeline.runtime.outputs import write_json

#: Images a forward pass, at most; larger batches don't fit a CPU's cache, or leave a GPU idle.
BATCH = {"cpu": 256, "cuda": 4096, "mps": 512}
#: Pixels of input a forward pass, at most: 668 images of 224 x 224. VGG's first layer has 64 values for each pixel,
#: 4 GiB in bfloat16.
PIXELS = 1 << 25


def outputs(network: HashNetwork, images: npt.NDArray[np.uint8], indices: Indices, device: torch.device) -> Tensor:
    """Raw head outputs (n, K) float32, on the CPU, of ``images[indices]``, in evaluation mode.

    Images are read while those before them are encoded; nothing is kept.
    """
    return outputs_of(network, Mapped(images, indices, device)).cpu()


@torch.no_grad()
def outputs_of(network: HashNetwork, images: Pixels) -> Tensor:
    """The same of images that may be on the device already; the result stays there."""
    was_training = network.training
    network.eval()
    batches = [network(batch) for batch in images.in_order(batch_size(network))]
    network.train(was_training)
    return torch.cat(batches)


def batch_size(network: HashNetwork) -> int:
    """Images a forward pass."""
    return max(1, min(BATCH[network.shift.device.type], PIXELS // network.input_size**2))


def write_codes(network: HashNetwork, data: Prepared, split: Split, device: torch.device, target: Path) -> None:
    """Write the packed codes of query and database, with what a search index needs beside them.

    For each part: ``<part>_codes.npy`` (n, ceil(K/8)) uint8, ``<part>_labels.npy`` (n, ceil(C/8)) uint8 and
    ``<part>_indices.npy`` (n,) int64, the images' positions in the prepared arrays. ``codes.json`` holds
    the lengths, the bit order, and the quantization error: the mean over bits and database images of
    ||u| - 1|, how far raw outputs are from the -1/+1 that they become.
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
        "code_length": network.head.out_features,
        "num_classes": data.labels.shape[1],
        "bit": "1 is +1, 0 is -1; the first bit is the highest of the first byte (numpy.packbits)",
        "quantization_error": errors["database"],
        "content_hash": data.manifest["content_hash"],
    }
    write_json(target / "codes.json", about)
