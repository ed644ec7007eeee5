"""prepare: the dataset's images and labels as packed arrays, with a manifest."""

from typing import Any

from pipeline import datasets
from pipeline.preparation import arrays
from pipeline.runtime.entry import stage
from pipeline.runtime.layout import Layout


def main(params: dict[str, Any], layout: Layout) -> None:
    section = dict(params["dataset"])
    name, size, on_bad = section.pop("name"), section.pop("image_size"), section.pop("on_bad_image")
    dataset = datasets.create(name, **section)
    with layout.atomic_output(layout.data, resume=True) as target:
        arrays.write(dataset, name, target, image_size=size, on_bad_image=on_bad)


STAGE = stage(main)

if __name__ == "__main__":
    STAGE.main()
