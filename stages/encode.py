"""encode: one cell's packed query and database codes, ready for a search index."""

from pipeline.encoding import device as devices
from pipeline.encoding.encode import write_codes
from pipeline.encoding.network import load_cell
from pipeline.features.views import inputs
from pipeline.params import Params
from pipeline.preparation import splits
from pipeline.runtime.entry import cell_stage
from pipeline.runtime.layout import Cell, Layout


def main(params: Params, layout: Layout, cell: Cell) -> None:
    data, split = inputs(params, layout, training=False), splits.load(layout.split(cell.seed))
    compute = devices.choose(params["compute"])
    network = load_cell(params, cell.group, compute, data, layout.train(cell) / "weights.safetensors")
    with layout.atomic_output(layout.codes(cell)) as target:
        write_codes(network, data, split, compute.device, target)


STAGE = cell_stage(main)

if __name__ == "__main__":
    STAGE.main()
