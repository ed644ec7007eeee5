"""shared: writes only a provenance record of the code and params that a stage uses for every cell."""

from pipeline.params import Params
from pipeline.runtime.entry import stage
from pipeline.runtime.layout import Layout


def main(params: Params, layout: Layout, of: str) -> None:
    with layout.atomic_output(layout.shared(of)):
        pass


STAGE = stage(main, of=str)

if __name__ == "__main__":
    STAGE.main()
