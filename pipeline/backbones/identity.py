"""``identity``: no network; for datasets of vectors, which are features already."""

from pipeline.backbones import Backbone
from pipeline.runtime.errors import UserError


class Identity(Backbone):
    """Stands for the network that made the vectors of a dataset such as ``embeddings``.

    Raises:
        UserError: always, since nothing computes features; heads read the vectors.
    """

    def __init__(self, *, weights: str = "none") -> None:
        super().__init__()
        raise UserError("backbone.name: identity is for dataset.name: embeddings with backbone.frozen: true")
