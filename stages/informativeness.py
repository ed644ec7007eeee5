"""informativeness: the mutual information between one cell's codes and their images (optional)."""

from pipeline.encoding import device as devices
from pipeline.evaluation.informativeness import measure_cell
from pipeline.params import Params
from pipeline.preparation import arrays
from pipeline.runtime.entry import cell_stage
from pipeline.runtime.layout import Cell, Layout


def main(params: Params, layout: Layout, cell: Cell, part: str) -> None:
    data, device = arrays.load(layout.data), devices.choose(params["compute"]).device
    with layout.atomic_output(layout.informativeness(cell, part)) as target:
        measure_cell(params["informativeness"], data, layout.codes(cell), part, cell.seed, device, target)


STAGE = cell_stage(main, part=str)

if __name__ == "__main__":
    STAGE.main()
