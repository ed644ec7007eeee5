"""What the networks of a study read: images, or features of a frozen backbone."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from pipeline.params import Params
from pipeline.preparation import arrays
from pipeline.preparation.arrays import Prepared
from pipeline.runtime import stored
from pipeline.runtime.errors import UserError
from pipeline.runtime.layout import Layout
from pipeline.runtime.outputs import read_json


def inputs(params: Params, layout: Layout, *, training: bool = True) -> Prepared:
    """Open what the networks of a study read; arrays are memory-mapped.

    Args:
        params: the content of params.yaml.
        layout: the study's folders.
        training: whether the networks are trained; to encode, they need the first view alone.

    Returns:
        the prepared dataset. If ``backbone.frozen`` is true, ``images`` are features (n, V, D) float32 of V views; the
        first is the view of the whole image, which codes are made of.

    Raises:
        UserError: a file is missing, truncated or changed.
    """
    data = arrays.load(layout.data)
    if not params["backbone"]["frozen"]:
        return data
    if data.images.ndim == 2:  # a dataset of vectors
        _refuse_zeros(params, data.manifest["zero_vectors"])
        return replace(data, images=data.images[:, None])
    names = params["features"]["views"] if training else params["features"]["views"][:1]
    views = [_view(layout.features(name), len(data.labels)) for name in names]
    images = _together([view.images for view in views])
    return Featured(images, data.labels, data.manifest, ids=data.ids, views=tuple(views))


def _refuse_zeros(params: Params, zeros: int) -> None:
    """Refuse vectors of length 0 where the head scales all vectors to length 1."""
    if params["head"]["normalize"] == "l2" and zeros:
        raise UserError(
            f"head.normalize: l2 needs vectors that are not 0, and {zeros:,} of dataset.path are 0 in every component; "
            "remove them, or use standardize or none"
        )


Precision = Literal["float32", "bfloat16"]


def precision(params: Params, layout: Layout) -> Precision:
    """The precision in which the features were computed."""
    found: Precision = read_json(layout.features(params["features"]["views"][0]) / "manifest.json")["precision"]
    return found


@dataclass(frozen=True)
class Featured(Prepared):
    """A prepared dataset whose images are replaced by features; ``views`` are checked one by one."""

    views: tuple[Prepared, ...] = ()

    def check(self, indices: npt.NDArray[np.int64] | None = None) -> None:
        for view in self.views:
            view.check(indices)


class Views:
    """Features of several views, in one file each; indexed like an array (n, V, D).

    Args:
        arrays: (n, D) float32 of each view.
    """

    def __init__(self, arrays: list[npt.NDArray[np.float32]]) -> None:
        self._arrays = arrays
        self.shape = (len(arrays[0]), len(arrays), arrays[0].shape[1])
        self.dtype = arrays[0].dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> npt.NDArray[np.float32]:
        return np.stack([array[rows] for array in self._arrays], axis=-2)


def _together(arrays: list[npt.NDArray[Any]]) -> Any:
    return arrays[0][:, None] if len(arrays) == 1 else Views(arrays)


def _view(folder: Path, count: int) -> Prepared:
    manifest, digests = read_json(folder / "manifest.json"), folder / "features.sha256"
    features = stored.array(folder / "features.npy", "float32", 2, items=count, mapped=True)
    return Prepared(features, np.empty(0, np.uint8), manifest, digests.read_bytes() if digests.exists() else b"")
