"""``nuswide81``: NUS-WIDE with all 81 concepts (Chua et al. 2009)."""

from pipeline.datasets._nuswide import NusWide


class NusWide81(NusWide):
    """NUS-WIDE's photographs with at least one of its 81 concepts.

    The HSWD paper (appendix) states 269,648 images with at least one concept. That is the number of all
    photographs. Without the 60,301 photographs that have no concept, 209,347 remain; this dataset uses these.

    Args:
        path: the folder of the official files.
        labels: null for the official lists, or a file of ``path y1 ... y81`` lines below ``path``.

    Raises:
        UserError: as in ``pipeline.datasets._nuswide.NusWide``.
    """

    published = 209_347

    def __init__(self, *, path: str | None, labels: str | None = None) -> None:
        super().__init__(path, labels, 81)
