"""``counts``: numbers of your own, of each class or in total; all but the query is the database."""

from collections.abc import Sequence

from pipeline.preparation.splits import Split
from pipeline.protocols import Protocol
from pipeline.protocols._sampling import Labels, in_total, per_class
from pipeline.runtime.errors import UserError
from pipeline.runtime.ranges import Part, PositiveInt

PARTS: tuple[Part, ...] = ("query", "validation", "train")


class Counts(Protocol):
    """Draws as ``wr`` does (``per_class``) or as ``hswd`` does (``total``), with numbers chosen by the user.

    Query images are removed from the database; validation and train images stay in it, as in both papers. Images
    without a label are only in the database.

    Args:
        per_class: images per class for ``query``, ``validation`` and ``train``; each image is drawn at most once.
        total: images in total for the same parts, drawn at random without regard to classes.

    Raises:
        UserError: both or neither is given, or a part is missing.
    """

    def __init__(
        self, *, per_class: dict[Part, PositiveInt] | None = None, total: dict[Part, PositiveInt] | None = None
    ) -> None:
        if per_class is not None and total is not None:
            raise UserError("protocol 'counts' takes per_class or total, not both")
        given = total if per_class is None else per_class
        if given is None:
            raise UserError("protocol 'counts' needs per_class or total")
        self.numbers, self.key = given, "total" if per_class is None else "per_class"
        if missing := [part for part in PARTS if part not in given]:
            raise UserError(f"protocol 'counts' needs {self.key}: {', '.join(missing)}")

    def split(self, labels: Labels, ids: Sequence[str], seed: int) -> Split:
        draw = in_total if self.key == "total" else per_class
        return draw(labels, self.numbers, seed, f"split.{self.key}.{{part}}")
