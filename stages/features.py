"""features: the outputs of the frozen backbone for one view of every image."""

from pipeline.features import extraction
from pipeline.params import Params
from pipeline.preparation import arrays
from pipeline.runtime.entry import stage
from pipeline.runtime.layout import Layout


def main(params: Params, layout: Layout, view: str) -> None:
    with layout.atomic_output(layout.features(view), resume=True) as target:
        extraction.write(params, arrays.load(layout.data), view, target)


STAGE = stage(main, view=str)

if __name__ == "__main__":
    STAGE.main()
