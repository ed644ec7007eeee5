"""split: which images are query, database, train and validation for one seed."""

from pipeline import protocols
from pipeline.params import Params
from pipeline.preparation import arrays, splits
from pipeline.runtime.entry import stage
from pipeline.runtime.layout import Layout


def main(params: Params, layout: Layout, seed: int) -> None:
    data = arrays.load(layout.data)
    split = protocols.draw(params["split"], data.labels, seed)
    with layout.atomic_output(layout.split(seed)) as target:
        splits.write(split, target, protocol=params["split"]["protocol"], seed=seed, manifest=data.manifest)


STAGE = stage(main, seed=int)

if __name__ == "__main__":
    STAGE.main()
