"""evaluate: all metrics of one cell, and its training history."""

from pipeline.evaluation.cell import evaluate_cell
from pipeline.params import Params
from pipeline.runtime.entry import cell_stage
from pipeline.runtime.layout import Cell, Layout


def main(params: Params, layout: Layout, cell: Cell) -> None:
    with layout.atomic_output(layout.metrics(cell)) as target:
        evaluate_cell(params["evaluation"], cell, layout.train(cell), layout.codes(cell), target)


STAGE = cell_stage(main)

if __name__ == "__main__":
    STAGE.main()
