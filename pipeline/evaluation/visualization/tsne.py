"""Two-dimensional maps of images by their pixels, features or codes (t-SNE)."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.preparation.arrays import Prepared
from pipeline.preparation.square import square
from pipeline.runtime.errors import UserError
from pipeline.runtime.outputs import write_csv

Points = npt.NDArray[np.float64]
#: Maximum width and height in pixels to which images are reduced before distances are computed.
SIDE = 32


def sample(database: npt.NDArray[np.int64], images: int, seed: int) -> npt.NDArray[np.int64]:
    """Draw at most ``images`` positions in the database; sorted, and the same for every cell of a seed."""
    drawn = np.random.default_rng(seed).choice(len(database), min(images, len(database)), replace=False)
    return np.sort(drawn)


def embed(vectors: npt.NDArray[Any], *, perplexity: float, seed: int) -> Points:
    """t-SNE (van der Maaten & Hinton 2008) of vectors (n, d) by Euclidean distance; (n, 2).

    The squared Euclidean distance of -1/+1 codes is 4 times the Hamming distance. t-SNE starts from the principal
    components, so that the result depends little on the seed. If all vectors are the same, all points are the same.

    Args:
        vectors: (n, d).
        perplexity: the perplexity of t-SNE, roughly a number of neighbours.
        seed: seed of t-SNE.

    Returns:
        (n, 2) positions.

    Raises:
        UserError: n is not larger than ``perplexity``.
    """
    if len(vectors) <= perplexity:
        raise UserError(f"visualize.perplexity: expected less than the {len(vectors)} images, found {perplexity}")
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    values = np.asarray(vectors, dtype=np.float32)
    if (values == values[0]).all():  # a spread of 0, which scikit-learn would divide by
        return np.zeros((len(values), 2))
    begin = "pca" if values.shape[1] > 1 else "random"
    # One thread: the number of threads changes the last digits, which the gradient descent amplifies. `n_jobs` limits
    # only the search for neighbours, and Ray's workers have another default than `dvc repro`.
    with threadpool_limits(1):
        found: Points = TSNE(perplexity=perplexity, init=begin, random_state=seed, n_jobs=1).fit_transform(values)
    return found


def pixels(data: Prepared, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.floating[Any]]:
    """Images as vectors of their pixels in 0..1, reduced to at most ``SIDE`` pixels."""
    from PIL import Image

    size = min(SIDE, data.images.shape[1])
    small = np.stack([square(Image.fromarray(data.images[index]), size) for index in indices])
    return small.reshape(len(indices), -1).astype(np.float32) / 255


def write(maps: dict[str, Points], labels: npt.NDArray[np.uint8], file: Path) -> None:
    """Write a CSV file with the columns ``of, label, x, y``, one row per point.

    Args:
        maps: (n, 2) positions by the name in ``of``.
        labels: (n, C) multi-hot. ``label`` is the first class of an image, or -1 if it has none.
        file: the file to write.
    """
    first = np.where(labels.any(axis=1), labels.argmax(axis=1), -1)
    rows = [
        (of, label, f"{x:.3f}", f"{y:.3f}")
        for of, points in maps.items()
        for label, (x, y) in zip(first, points, strict=True)
    ]
    write_csv(file, ("of", "label", "x", "y"), rows)
