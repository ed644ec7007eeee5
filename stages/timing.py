"""timing: seconds per epoch of one method at one batch size, with each of the study's timed quantizers."""

from pipeline.features.views import inputs
from pipeline.params import Params
from pipeline.runtime.entry import stage
from pipeline.runtime.layout import Layout
from pipeline.training.timing import measure


def main(params: Params, layout: Layout, method: str, batch_size: int) -> None:
    with layout.atomic_output(layout.timing(method, batch_size)) as target:
        measure(params, method, batch_size, inputs(params, layout), target)


STAGE = stage(main, method=str, batch_size=int)

if __name__ == "__main__":
    STAGE.main()
