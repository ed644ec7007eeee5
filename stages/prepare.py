"""prepare: the dataset's images and labels as packed arrays, with a manifest."""

from typing import Any

from pipeline import datasets
from pipeline.preparation import arrays
from pipeline.runtime.entry import study_stage
from pipeline.runtime.layout import Layout


def main(params: dict[str, Any]) -> None:
    section, layout = dict(params["dataset"]), Layout(params["study"])
    name = section.pop("name")
    with layout.whole(layout.data) as target:
        arrays.write(datasets.create(name, **section), name, target)


if __name__ == "__main__":
    study_stage(main)
