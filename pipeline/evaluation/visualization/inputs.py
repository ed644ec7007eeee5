"""What codes are made from: the images themselves, and the backbone's features before any training."""

from pathlib import Path
from typing import Any

from torch import nn

from pipeline.encoding import device as devices
from pipeline.encoding.encode import outputs
from pipeline.encoding.network import build
from pipeline.evaluation.visualization import tsne
from pipeline.preparation.arrays import Prepared
from pipeline.preparation.splits import Split


def write(params: dict[str, Any], data: Prepared, split: Split, seed: int, target: Path) -> None:
    """Write ``tsne.csv`` of the same database images that the seed's cells show.

    Source: Figures 1 and 3 of the WR paper, whose features are those of a pretrained AlexNet; here, of the study's
    backbone with the weights that it starts from, which are random ones where ``backbone.weights`` is ``none``.
    """
    section, compute = params["visualize"], devices.choose(params["compute"])
    devices.make_deterministic(seed, compute.device)
    shown = split.database[tsne.sample(split.database, section["images"], seed)]
    network = build(params["backbone"], 1, compute)
    network.head = nn.Identity()  # type: ignore[assignment]
    vectors = {
        "images": tsne.pixels(data, shown),
        "features": outputs(network, data.images, shown, compute.device).numpy(),
    }
    maps = {of: tsne.embed(found, perplexity=section["perplexity"], seed=seed) for of, found in vectors.items()}
    tsne.write(maps, data.labels[shown], target / "tsne.csv")
