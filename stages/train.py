"""train: one cell's weights, per-epoch history and training metrics."""

from pipeline.features.views import inputs
from pipeline.params import Params
from pipeline.preparation import splits
from pipeline.runtime.entry import cell_stage
from pipeline.runtime.layout import Cell, Layout
from pipeline.training.cell import train
from pipeline.training.mlflow_follower import followed
from pipeline.training.setting import chosen
from pipeline.training.times import noted


def main(params: Params, layout: Layout, cell: Cell) -> None:
    data, split = inputs(params, layout), splits.load(layout.split(cell.seed))
    with followed(params, layout, cell), noted(layout, cell), layout.atomic_output(layout.train(cell)) as target:
        train(params, chosen(layout.tuning(cell.group)), cell, data, split, target)


STAGE = cell_stage(main)

if __name__ == "__main__":
    STAGE.main()
