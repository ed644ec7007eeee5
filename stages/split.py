"""split: which images are query, database, train and validation for one seed."""

from pipeline import protocols
from pipeline.params import Params
from pipeline.preparation import arrays, splits
from pipeline.runtime.entry import stage
from pipeline.runtime.layout import Layout


def main(params: Params, layout: Layout, seed: int) -> None:
    data = arrays.load(layout.data)
    name, protocol = params["split"]["protocol"], protocols.chosen(params["split"])
    split = protocol.split(data.labels, data.ids, seed)
    with layout.atomic_output(layout.split(seed)) as target:
        splits.write(split, target, protocol=name, seed=seed, manifest=data.manifest, fixed_by=protocol.fixed_by)


STAGE = stage(main, seed=int)

if __name__ == "__main__":
    STAGE.main()
