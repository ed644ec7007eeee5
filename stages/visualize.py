"""visualize: t-SNE of one cell's codes, and queries with their nearest images."""

from pipeline.evaluation.visualization.cell import write
from pipeline.params import Params
from pipeline.preparation import arrays
from pipeline.runtime.entry import cell_stage
from pipeline.runtime.layout import Cell, Layout


def main(params: Params, layout: Layout, cell: Cell) -> None:
    with layout.atomic_output(layout.visualized(cell)) as target:
        write(params["visualize"], layout.codes(cell), arrays.load(layout.data), cell, target)


STAGE = cell_stage(main)

if __name__ == "__main__":
    STAGE.main()
