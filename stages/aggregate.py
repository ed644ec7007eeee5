"""aggregate: means and standard deviations over seeds, and t-tests against the baseline."""

from typing import Any

from pipeline.aggregation.study import aggregate
from pipeline.runtime.entry import stage
from pipeline.runtime.layout import Layout


def main(params: dict[str, Any], layout: Layout) -> None:
    with layout.atomic_output(layout.tables) as target:
        aggregate(params, layout, target)


STAGE = stage(main)

if __name__ == "__main__":
    STAGE.main()
