"""split: which images are query, database, train and validation for one seed."""

from typing import Any

from pipeline import protocols
from pipeline.preparation import arrays, splits
from pipeline.runtime.entry import seed_stage
from pipeline.runtime.layout import Layout


def main(params: dict[str, Any], seed: int) -> None:
    section, layout = dict(params["split"]), Layout(params["study"])
    name = section.pop("protocol")
    data = arrays.load(layout.data)
    split = protocols.create(name, **section).split(data.labels, seed)
    with layout.whole(layout.split(seed)) as target:
        splits.write(split, target, protocol=name, seed=seed, manifest=data.manifest)


if __name__ == "__main__":
    seed_stage(main)
