"""``nuswide21``: NUS-WIDE with its 21 most frequent concepts, as the WR paper and many others use it."""

from pipeline.datasets._nuswide import NusWide


class NusWide21(NusWide):
    """NUS-WIDE's photographs with at least one of its 21 most frequent concepts: 195,834 as published.

    Args:
        path: the folder of the official files.
        labels: null for the official lists, or a file of ``path y1 ... y21`` lines below ``path``.

    Raises:
        UserError: as in ``pipeline.datasets._nuswide.NusWide``.
    """

    published = 195_834

    def __init__(self, *, path: str | None, labels: str | None = None) -> None:
        super().__init__(path, labels, 21)
