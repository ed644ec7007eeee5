"""batch-size: the validation mAP of one (method, quantizer, bits) at one batch size, for one seed."""

from pipeline.features.views import inputs
from pipeline.params import Params
from pipeline.runtime.entry import stage
from pipeline.runtime.errors import Diverged
from pipeline.runtime.layout import Group, Layout
from pipeline.runtime.outputs import write_json
from pipeline.training.trial import tuning_split, validation_map


def main(params: Params, layout: Layout, method: str, quantizer: str, bits: int, batch_size: int, seed: int) -> None:
    group = Group(method, quantizer, bits)
    data = inputs(params, layout)
    with layout.atomic_output(layout.batch_size(group, batch_size, seed)) as target:
        try:
            found = validation_map(
                params, group, {"batch_size": batch_size}, seed, data, tuning_split(params, data, seed)
            )
            write_json(target / "batch_size.json", {"validation_map": found, "note": ""})
        except Diverged as error:  # a result, not an error, as in tuning
            write_json(target / "batch_size.json", {"validation_map": None, "note": str(error)})


STAGE = stage(main, method=str, quantizer=str, bits=int, batch_size=int, seed=int)

if __name__ == "__main__":
    STAGE.main()
