"""features: the outputs of the frozen backbone for one view of every image."""

from pathlib import Path

from pipeline.features import extraction
from pipeline.params import Params
from pipeline.preparation import arrays
from pipeline.runtime import provenance
from pipeline.runtime.entry import stage
from pipeline.runtime.layout import Layout


def main(params: Params, layout: Layout, view: str) -> None:
    with layout.atomic_output(layout.features(view), resume=True) as target:
        extraction.write(params, arrays.load(layout.data), view, target, _of_other_studies(layout, view))


def _of_other_studies(layout: Layout, view: str) -> list[Path]:
    """The folders of this view in other studies, where the present code made them."""
    if layout.record is None:
        return []
    folders = sorted(layout.folder.parent.glob(f"*/data/features-{view}"))
    records = {folder: provenance.read(folder) for folder in folders if folder != layout.features(view)}
    return [folder for folder, record in records.items() if record is not None and record.code == layout.record.code]


STAGE = stage(main, view=str)

if __name__ == "__main__":
    STAGE.main()
