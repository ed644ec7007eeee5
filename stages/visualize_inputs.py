"""visualize-inputs: t-SNE of one seed's images and of their features before training."""

from pipeline.evaluation.visualization.inputs import write
from pipeline.params import Params
from pipeline.preparation import arrays, splits
from pipeline.runtime.entry import stage
from pipeline.runtime.layout import Layout


def main(params: Params, layout: Layout, seed: int) -> None:
    with layout.atomic_output(layout.visualized_inputs(seed)) as target:
        write(params, arrays.load(layout.data), splits.load(layout.split(seed)), seed, target)


STAGE = stage(main, seed=int)

if __name__ == "__main__":
    STAGE.main()
