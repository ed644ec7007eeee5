"""``fashion_mnist``: 70,000 grey images of clothes, 28 x 28 pixels (Xiao, Rasul & Vollgraf 2017), as its IDX files."""

from pipeline.datasets._idx import IdxImages

CLASSES = ["T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"]


class FashionMnist(IdxImages):
    """Fashion-MNIST's 60,000 training and 10,000 test images pooled; the protocol draws its own split.

    Args:
        path: a folder (or a zip archive of it) with the four IDX files, with or without ``.gz``.

    Raises:
        UserError: as in ``pipeline.datasets._idx.IdxImages``.
    """

    published = 70_000

    def __init__(self, *, path: str | None) -> None:
        super().__init__(path, CLASSES, ("raw/", "FashionMNIST/raw/"))
