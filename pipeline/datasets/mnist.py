"""``mnist``: 70,000 handwritten digits of 28 x 28 pixels (LeCun, Bottou, Bengio & Haffner 1998), as its IDX files."""

from pipeline.datasets._idx import IdxImages


class Mnist(IdxImages):
    """MNIST's 60,000 training and 10,000 test images pooled; the protocol draws its own split.

    Args:
        path: a folder (or a zip archive of it) with the four IDX files, with or without ``.gz``.

    Raises:
        UserError: as in ``pipeline.datasets._idx.IdxImages``.
    """

    published = 70_000

    def __init__(self, *, path: str | None) -> None:
        super().__init__(path, [str(digit) for digit in range(10)], ("raw/", "MNIST/raw/"))
