"""t-SNE of the images, and of the backbone's features before training."""

from pathlib import Path

from torch import nn

from pipeline.encoding import device as devices
from pipeline.encoding.encode import outputs
from pipeline.encoding.network import build
from pipeline.evaluation.visualization import tsne
from pipeline.params import Params
from pipeline.preparation.arrays import Prepared
from pipeline.preparation.splits import Split


def write(params: Params, data: Prepared, split: Split, seed: int, target: Path) -> None:
    """Write ``tsne.csv`` of the same database images as for the cells of the seed.

    Source: Figures 1 and 3 of the WR paper, with the features of a pretrained AlexNet. Here they are the features of
    the study's backbone with its initial weights, which are random if ``backbone.weights`` is ``none``.

    Args:
        params: the content of params.yaml.
        data: the prepared dataset.
        split: the images of each part.
        seed: the seed of the cells.
        target: the folder to write into.
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
