"""prepare: the dataset's images and labels as packed arrays, with a manifest."""

from pipeline import datasets
from pipeline.params import Params
from pipeline.preparation import arrays
from pipeline.runtime.entry import stage
from pipeline.runtime.layout import Layout


def main(params: Params, layout: Layout) -> None:
    section = params["dataset"]
    own = {key: value for key, value in section.items() if key not in ("name", "image_size", "on_bad_image")}
    dataset = datasets.create(section["name"], **own)
    with layout.atomic_output(layout.data, resume=True) as target:
        arrays.write(
            dataset,
            section["name"],
            target,
            image_size=section.get("image_size"),
            on_bad_image=section["on_bad_image"],
        )


STAGE = stage(main)

if __name__ == "__main__":
    STAGE.main()
