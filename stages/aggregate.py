"""aggregate: means and standard deviations over seeds, and t-tests against the baseline."""

from pipeline.aggregation.study import aggregate
from pipeline.params import Params
from pipeline.runtime.entry import stage
from pipeline.runtime.layout import Layout


def main(params: Params, layout: Layout) -> None:
    with layout.atomic_output(layout.tables) as target:
        aggregate(params, layout, target)


STAGE = stage(main)

if __name__ == "__main__":
    STAGE.main()
